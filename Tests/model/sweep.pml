/* The sweep of a Driver that finds a running task, concurrent with the agent's RecoverTask and StartTask.
 *
 * The agent has the handle or not, and had claimed the task through an earlier Driver or not. If it has the handle of a
 * task that was never claimed, its RecoverTask arrives before `orphan_grace` is over; for a claimed task it arrives at any
 * moment.
 */
#define PROGRAM_STAYS
#include "world.pml"
#include "executor.pml"
#include "driver.pml"

inline recover(d, held, taken) {
    attach(d, 0, held, taken);
    property(taken, RecoverTask finds the session free);
    /* SupervisedTask.claim */
    atomic { known[of(d, 0)] = true; recovering[of(d, 0)] = false; claimedFile[0] = true }
}

proctype RecoverTask(byte d) {
    bool held, taken;
    {
        atomic { !recovering[of(d, 0)] && !ending[of(d, 0)] -> recovering[of(d, 0)] = true };
        recover(d, held, taken)
    } unless { !driverAlive[d] }
}

proctype RecoverTaskInTime(byte d) {
    bool held, taken;
    { recover(d, held, taken) } unless { !driverAlive[d] }
}

proctype AtLast() {
    atomic {
        nothingMore ->
        property(!hasHandle[0] || known[of(1, 0)], RecoverTask is answered);
        property(!hasHandle[0] || programRuns[0] || killedFromOutside[0],
            the sweep ends no task that the host has a handle of);
        property(hasHandle[0] || claimedFile[0] || !programRuns[0], no task runs that no host has)
    }
}

init {
    atomic {
        makePipes();
        directory[0] = true; identity[0] = true;
        executorAlive[0] = true; programRuns[0] = true; launches[0] = 1; pipesOpened[0] = true;
        run RunningExecutor(0, 0);
        driverAlive[1] = true;
        if
        :: hasHandle[0] = true; recovering[of(1, 0)] = true; run RecoverTaskInTime(1)
        :: hasHandle[0] = true; claimedFile[0] = true; run RecoverTask(1)
        :: claimedFile[0] = true
        :: starting[of(1, 1)] = true; run StartTask(1, 1)
        :: skip
        fi;
        run Sweep(1); run Deaths(0); run AtLast()
    }
}
