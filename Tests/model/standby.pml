/* A start by the standby Executor (0), which may stall or be killed at any step, and by the Executor that is spawned to
 * replace it (1). The directory is created again for the second one; the first still has the old one open.
 */
#include "world.pml"

bool identityIn[2];             /* the file `executor`, in the first and in the second directory of that name */
byte present;                   /* which of the two has the name now */
bool hasBegun[2];

proctype EitherExecutor(byte e) {
    byte opened;
    {
        opened = present;                                                         /* EventChannel.open */
        atomic {                                                                  /* writeIdentity: O_EXCL */
            if :: !identityIn[opened] -> identityIn[opened] = true :: else -> goto leave fi };
        atomic {                                                                  /* LaunchPlan.run */
            programRuns[e] = true;
            launches[0]++;
            property(launches[0] == 1, a program runs at most once for a start) };
        hasBegun[e] = true;                                                       /* started */
        false
    } unless { !executorAlive[e] };
leave:
    executorAlive[e] = false; programRuns[e] = false
}

proctype Start() {
    /* StandbyExecutor.take. */
    atomic { executorAlive[0] = true; run EitherExecutor(0) };
    if                                                                            /* TaskTable.outcome */
    :: hasBegun[0] -> goto over
    :: !executorAlive[0]
    :: true ->                                                                    /* takeUpNanoseconds */
        if
        :: identityIn[0] ->
            if :: hasBegun[0] -> goto over :: !executorAlive[0] fi
        :: else ->
#ifndef WITHOUT_DEATH_OF_THE_FIRST
            killExecutor(0);
#endif
            skip
        fi
    fi;
#ifndef WITHOUT_LOOK_AT_THE_IDENTITY
    if :: identityIn[0] -> goto over :: else fi;                                  /* SupervisedTask.wasTakenUp */
#endif
    present = 1;                                                                  /* TaskDirectory.remove, create */
    atomic { executorAlive[1] = true; run EitherExecutor(1) };
over:
    skip
}

init { atomic { run Start(); run Deaths(0) } }
