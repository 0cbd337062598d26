/* A start during which a Driver, an agent or an Executor dies at any step, and what the next agent does.
 *
 * An agent without a handle starts the task again under a new id in the same cgroup: through the same Driver if that
 * lives (an agent that was killed finds it again), or through the next one. An agent with a handle recovers the task.
 * Concurrently the sweep runs once, at any moment after RecoverTask was called.
 */
#ifdef AGENT_DIES
#define DEATHS 0
#else
#define DEATHS 1
#endif
#define PROGRAM_STAYS
#include "world.pml"
#include "executor.pml"
#include "driver.pml"

proctype RecoverTask(byte d) {
    bool held, taken;
    {
        attach(d, 0, held, taken);
        atomic { known[of(d, 0)] = true; recovering[of(d, 0)] = false; claimedFile[0] = true }
    } unless { !driverAlive[d] }
}

proctype Host() {
    byte d;
    atomic { starting[0] = true; run StartTask(0, 0) };
    if :: startIsOver[0] || driverDied[0] || !agentAlive fi;
    atomic {
        if :: driverAlive[0] -> d = 0 :: else -> d = 1; driverAlive[1] = true fi;
        if
        :: hasHandle[0] && d == 1 -> recovering[of(1, 0)] = true; run RecoverTask(1)
        :: hasHandle[0] && d == 0
        :: !hasHandle[0] -> starting[of(d, 1)] = true; run StartTask(d, 1)
        fi;
        run Sweep(d)
    }
}

proctype AtLast() {
    atomic {
        nothingMore ->
        property(!(programRuns[0] && programRuns[1]), a program runs alone in its cgroup);
        property(!(programRuns[0] && !hasHandle[0] && (driverAlive[1] || driverAlive[0])), no task runs that no host has)
    }
}

init {
    atomic {
        makePipes();
        driverAlive[0] = true;
        run Host(); run Deaths(DEATHS); run AtLast()
    }
}
