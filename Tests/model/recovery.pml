/* A running task while its Driver, its Executor or the machine dies: does the agent learn how the task ended?
 *
 * Driver 0 launched the task and has a pending request when it dies, or it survives. Driver 1 starts after that death and
 * finds the events pipe as it was left, or full of foreign bytes. The Executor may be killed, the machine may reboot, and
 * processes that SIGKILL does not end may remain, so that the Executor stays (`overdue`).
 *
 * TWO_DRIVERS: both Drivers live at the same time, and both are asked to recover the task.
 */
#ifdef TWO_DRIVERS
#define LAUNCHER NOBODY
#else
#define LAUNCHER 0
#define SURVIVORS
#define HOST_DIES
#endif
#include "world.pml"
#include "executor.pml"
#include "driver.pml"

#define isOver(t) (record[t] || !executorAlive[t])

proctype Driver(byte d) {
    bool held, taken;
    {
        if
#ifndef TWO_DRIVERS
        :: d == 0 -> taken = true; exchange(d, 0, signalled, 1)
#endif
        :: else ->
            attach(d, 0, held, taken);
#ifndef TWO_DRIVERS
            property(taken, a dead Driver holds no lock);
#endif
            if
            :: end[of(d, 0)] == unknown && taken -> exchange(d, 0, signalled, 2)
            :: else
            fi
        fi;
        /* SupervisedTask.signal: `done` means that the signal was sent. */
        property(!answered[d] || answer[d] != done || signalDelivered[d], a signal that was reported sent was sent);
        known[of(d, 0)] = taken
    } unless { !driverAlive[d] }
}

proctype Successor(byte d) {
    atomic {
        driverDied[d - 1] -> driverAlive[d] = true; run Driver(d);
        /* Foreign bytes have filled the pipe, and nobody has read it. */
        if
        :: d == 1 -> do :: nfull(events[0]) -> events[0]!exited, NOBODY, 0, NOBODY :: full(events[0]) -> break od
        :: skip
        fi
    }
}

/* The properties of an end state, in which no further step is possible. */
proctype AtLast() {
    atomic {
        nothingMore ->
        property(!(known[of(0, 0)] && driverAlive[0] && isOver(0)) || end[of(0, 0)] != unknown, WaitTask is answered);
        property(!(known[of(1, 0)] && driverAlive[1] && isOver(0)) || end[of(1, 0)] != unknown, WaitTask is answered)
    }
}

init {
    atomic {
        makePipes();
        directory[0] = true; identity[0] = true; hasHandle[0] = true;
        driverAlive[0] = true;
        executorAlive[0] = true; programRuns[0] = true; launches[0] = 1;
        run RunningExecutor(0, LAUNCHER);
#ifdef TWO_DRIVERS
        driverAlive[1] = true;
        run Driver(0); run Driver(1);
#else
        lockOf[0] = 0; hasStarted[0] = true;
        watch(0, 0);
        run Driver(0); run Successor(1);
#endif
        run Deaths(1); run AtLast()
    }
}
