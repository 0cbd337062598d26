/* The world that the Driver/Executor pair lives in: processes, the state directory, the pipes, and what must hold.
 *
 * Every numbered thing is an array: Drivers by `d` (0 is the first), tasks by `t`. A task's directory, pipes, Executor
 * and program have its number. A step of the model is one system call, or several that nothing can come between to any
 * effect; its comment names the function in Sources/ that it stands for.
 *
 * What must hold is a `property`: a named assertion, whose name check.py prints when it is broken. Each protection can
 * be taken out by a macro WITHOUT_…, which check.py does in turn to see that a property breaks.
 */

#define property(holds, name) if :: (holds) -> skip :: else -> printf("BROKEN "); printf(#name); printf("\n"); assert(false) fi

#define DRIVERS 2
#define TASKS 2
#ifndef ROOM
#define ROOM 4                  /* frames in a pipe */
#endif
#define NOBODY 9

mtype = { hello, welcome, signalled, stopped, done, refused, started, exited };
mtype = { unknown, itsStatus, lost };

/* Who lives. A killed process makes no further step (`unless`). */
bool driverAlive[DRIVERS];
bool driverDied[DRIVERS];
bool executorAlive[TASKS];
bool agentAlive = true;
bool rebooted;

/* What is true of a task, whoever knows it. */
bool programRuns[TASKS];
byte launches[TASKS];
bool programEnded[TASKS];       /* by itself, or by a signal: with a status that the Executor reaped */
bool killedFromOutside[TASKS];  /* SIGKILL to the Executor by root, the OOM killer, an operator */
bool givenUp[TASKS];            /* SIGKILL to the Executor by a Driver */
bool startIsOver[TASKS];        /* its StartTask has ended, with an answer or without */
bool hasHandle[TASKS];          /* the host has stored what StartTask answered */

/* The state directory. */
bool directory[TASKS];
bool identity[TASKS];           /* the file `executor` */
bool record[TASKS];             /* the file `exit` */
bool claimedFile[TASKS];
byte lockOf[TASKS] = NOBODY;    /* flock(2) on `lock`: the kernel drops it with the process */

/* The FIFOs. control: kind, session (hello's), id; whose request it is. events: kind, session, reply_to; whose. */
chan control0 = [ROOM] of { mtype, byte, byte };
chan control1 = [ROOM] of { mtype, byte, byte };
chan events0 = [ROOM] of { mtype, byte, byte, byte };
chan events1 = [ROOM] of { mtype, byte, byte, byte };
chan control[TASKS];
chan events[TASKS];
bool pipesOpened[TASKS];        /* by the Executor */

/* What a Driver has in memory: gone with it, so that it is never read of a dead one. Index: d * TASKS + t. */
#define of(d, t) ((d) * TASKS + (t))
bool known[4];                  /* TaskTable.Entry.known */
bool recovering[4];             /* TaskTable.Entry.recovering */
bool ending[4];                 /* TaskTable.Entry.ending */
bool starting[4];               /* TaskTable.Entry.starting */
bool hasStarted[4];             /* SupervisedTask.launched */
mtype end[4] = unknown;         /* SupervisedTask.ended: what WaitTask answers */
bool gone[4];                   /* SupervisedTask.executorGone */
bool watched[4];                /* HeldExecutor.watch */
/* The one call of each Driver that waits for an answer (ExecutorLink.exchange). */
byte waitingFor[DRIVERS];       /* its id; 0: none */
bool answered[DRIVERS];
mtype answer[DRIVERS];
byte answerTo[DRIVERS];         /* whose request it was the answer to */
bool signalDelivered[DRIVERS];

/* SIGKILL: the kernel ends the program with its namespace's init, at once. */
inline killExecutor(t) {
    if :: executorAlive[t] -> executorAlive[t] = false; programRuns[t] = false :: else fi
}

/* What a dead one knew is forgotten: it is never read again, and the states are fewer. */
inline killDriver(d) {
    if :: driverAlive[d] -> driverAlive[d] = false; driverDied[d] = true :: else fi;
    if :: lockOf[0] == d -> lockOf[0] = NOBODY :: else fi;
    if :: lockOf[1] == d -> lockOf[1] = NOBODY :: else fi;
    waitingFor[d] = 0; answered[d] = false; answer[d] = 0; answerTo[d] = 0;
    forget(d, 0); forget(d, 1)
}

inline forget(d, t) {
    known[of(d, t)] = false; recovering[of(d, t)] = false; ending[of(d, t)] = false; starting[of(d, t)] = false; hasStarted[of(d, t)] = false;
    end[of(d, t)] = unknown; gone[of(d, t)] = false
}

/* TaskFolder.remove: the identity file goes last, so that nobody takes a half for the whole. */
inline removeDirectory(t) {
    directory[t] = false; identity[t] = false; record[t] = false; claimedFile[t] = false
}

/* SupervisedTask.conclude: an end as d knows it, and tells it to the host where that has a handle. */
inline conclude(d, t, what) {
    if
    :: end[of(d, t)] == unknown ->
        end[of(d, t)] = what;
        property(what != itsStatus || programEnded[t], an end is told as it was);
        property(what != lost || !hasHandle[t] || killedFromOutside[t] || givenUp[t] || rebooted,
            an end is lost only with a killed Executor or a restarted host)
    :: else
    fi
}

/* SupervisedTask.readRecord. */
inline readRecord(d, t) {
    if :: record[t] -> conclude(d, t, itsStatus) :: else fi
}

inline makePipes() {
    control[0] = control0; control[1] = control1; events[0] = events0; events[1] = events1
}

/* Deaths, each at whatever step, or not at all: Drivers below `drivers`, the Executor of task 0, the host. */
proctype Deaths(byte drivers) {
    byte i;
    do
    :: d_step { drivers > 0 && driverAlive[0] -> killDriver(0) }
#ifdef AGENT_DIES
    :: atomic { agentAlive && !startIsOver[0] -> agentAlive = false }
#endif
    :: d_step { drivers > 1 && driverAlive[1] -> killDriver(1) }
    :: atomic { executorAlive[0] -> killedFromOutside[0] = true; killExecutor(0) }
#ifdef HOST_DIES
    :: d_step {
        !rebooted ->
        rebooted = true;
        for (i : 0 .. DRIVERS - 1) { killDriver(i) };
        for (i : 0 .. TASKS - 1) { killExecutor(i) };
        i = 0 }
#endif
    :: break
    od
}

/* Nothing else can happen, and no call waits for its limit of time. */
#define isWaiting(d) (driverAlive[d] && waitingFor[d] != 0)
#define nothingMore (timeout && !isWaiting(0) && !isWaiting(1))
