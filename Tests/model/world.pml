/* The environment of Driver and Executor: processes, the state directory, the pipes, and the properties.
 *
 * Arrays are indexed by Driver `d` (0 is the first) or task `t`. A task's directory, pipes, Executor and program have
 * the task's number. A step of the model is one system call, or several whose interleaving with other steps cannot
 * matter; its comment names the function in Sources/ that it stands for.
 *
 * In the property names, "the host" is the Nomad agent.
 *
 * A `property` is a named assertion; check.py prints the name if it is violated. Each protection can be removed by a
 * macro WITHOUT_…; check.py removes each in turn and checks that a property breaks.
 */

#define property(holds, name) if :: (holds) -> skip :: else -> printf("BROKEN "); printf(#name); printf("\n"); assert(false) fi

#define DRIVERS 2
#define TASKS 2
#ifndef ROOM
#define ROOM 4                  /* capacity of a pipe in frames */
#endif
#define NOBODY 9

mtype = { hello, welcome, signalled, stopped, done, refused, started, exited };
mtype = { unknown, itsStatus, lost };

/* Which processes are alive. A killed process makes no further step (`unless`). */
bool driverAlive[DRIVERS];
bool driverDied[DRIVERS];
bool executorAlive[TASKS];
bool agentAlive = true;
bool rebooted;

/* The true state of a task, whether or not a process knows it. */
bool programRuns[TASKS];
byte launches[TASKS];
bool programEnded[TASKS];       /* by itself or by a signal, with a status that the Executor has reaped */
bool killedFromOutside[TASKS];  /* SIGKILL to the Executor by root or the OOM killer */
bool givenUp[TASKS];            /* SIGKILL to the Executor by a Driver */
bool startIsOver[TASKS];        /* its StartTask has returned or was abandoned */
bool hasHandle[TASKS];          /* the agent has stored the handle that StartTask returned */

/* The state directory. */
bool directory[TASKS];
bool identity[TASKS];           /* the file `executor` */
bool record[TASKS];             /* the file `exit` */
bool claimedFile[TASKS];
byte lockOf[TASKS] = NOBODY;    /* flock(2) on `lock`: the kernel drops it with the process */

/* The FIFOs. control: kind, the sending Driver (also hello's session number), id.
 * events: kind, session, reply_to, and the Driver whose request is answered. */
chan control0 = [ROOM] of { mtype, byte, byte };
chan control1 = [ROOM] of { mtype, byte, byte };
chan events0 = [ROOM] of { mtype, byte, byte, byte };
chan events1 = [ROOM] of { mtype, byte, byte, byte };
chan control[TASKS];
chan events[TASKS];
bool pipesOpened[TASKS];        /* by the Executor */

/* What a Driver has in memory. It is lost with the Driver, so it is never read of a dead one. Index: d * TASKS + t. */
#define of(d, t) ((d) * TASKS + (t))
bool known[4];                  /* TaskTable.Entry.known */
bool recovering[4];             /* TaskTable.Entry.recovering */
bool ending[4];                 /* TaskTable.Entry.ending */
bool starting[4];               /* TaskTable.Entry.starting */
bool hasStarted[4];             /* SupervisedTask.started */
mtype end[4] = unknown;         /* SupervisedTask.end: what WaitTask answers */
bool gone[4];                   /* TaskState.reading, .over or .neverStarted */
bool watched[4];                /* HeldExecutor.watch */
/* The one pending request of each Driver (ExecutorLink.exchange). */
byte waitingFor[DRIVERS];       /* its id; 0: none */
bool answered[DRIVERS];
mtype answer[DRIVERS];
byte answerTo[DRIVERS];         /* the Driver whose request was answered */
bool signalDelivered[DRIVERS];

/* SIGKILL: the kernel kills the program together with the init of its PID namespace. */
inline killExecutor(t) {
    if :: executorAlive[t] -> executorAlive[t] = false; programRuns[t] = false :: else fi
}

/* Clears what the dead Driver had in memory: it is never read again, and the search has fewer states. */
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

/* TaskDirectory.remove. It removes the identity file last, so a partly removed directory still has its identity; the model
 * removes all in one step. */
inline removeDirectory(t) {
    directory[t] = false; identity[t] = false; record[t] = false; claimedFile[t] = false
}

/* SupervisedTask.conclude: Driver d learns the end, and reports it to the agent if that has a handle. */
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

/* Deaths, each at any step or not at all: the Drivers below `drivers`, the agent (AGENT_DIES), the Executor of task 0, the
 * machine (HOST_DIES). */
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

/* No other step is possible, and no request waits for its timeout. */
#define isWaiting(d) (driverAlive[d] && waitingFor[d] != 0)
#define nothingMore (timeout && !isWaiting(0) && !isWaiting(1))
