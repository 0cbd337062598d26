/* The Executor: one process for each task. */

/* EventChannel.send: if the pipe is full, the frame is dropped. (The code first buffers up to 16 KiB.) */
inline send(t, kind, session, replyTo, whose) {
    if
    :: nfull(events[t]) -> events[t]!kind, session, replyTo, whose
    :: full(events[t])
    fi
}

/* Supervision.finish: the exit record, then the event `exited`. */
inline finish(t, session) {
#ifdef WITHOUT_RECORD_BEFORE_EVENT
    atomic { send(t, exited, session, 0, NOBODY) };
    record[t] = true
#else
    record[t] = true;
    atomic { send(t, exited, session, 0, NOBODY) }
#endif
}

/* Supervision.answer: one request. */
inline answerRequest(t, session, kind, id, whose) {
    if
    :: kind == hello -> session = whose; send(t, welcome, session, id, whose)
    :: kind == signalled && programRuns[t] -> signalDelivered[whose] = true; send(t, done, session, id, whose)
    :: kind == signalled && !programRuns[t] -> send(t, refused, session, id, whose)
    :: kind == stopped ->
        send(t, done, session, id, whose);
        /* Supervision.killAll: the program ends and is reaped. */
        if :: programRuns[t] -> programRuns[t] = false; programEnded[t] = true :: else fi
    fi
}

/* Common to an Executor that launches its task and one that a scenario finds running. */
inline supervise(t, session) {
    do
    :: d_step { control[t]?kind, whose, id -> answerRequest(t, session, kind, id, whose); kind = 0; whose = 0; id = 0 }
#ifndef PROGRAM_STAYS
    :: atomic { programRuns[t] -> programRuns[t] = false; programEnded[t] = true }
#endif
    :: !programRuns[t] -> break
    od;
    finish(t, session);
    if
    :: skip                  /* no process is left: it exits */
#ifdef SURVIVORS
    :: true ->               /* Supervision.timeIsUp, with survivors: `overdue`, and it still answers requests */
        do
        :: d_step { control[t]?kind, whose, id -> answerRequest(t, session, kind, id, whose); kind = 0; whose = 0; id = 0 }
        od
#endif
    fi
}

/* An Executor whose task already runs. */
proctype RunningExecutor(byte t, session) {
    mtype kind; byte id, whose;
    { supervise(t, session) } unless { !executorAlive[t] };
    atomic { executorAlive[t] = false; programRuns[t] = false }
}

/* An Executor from its spawn on. `launcher` is the Driver that sent the request; its number is the session number. */
proctype Executor(byte t, launcher) {
    mtype kind; byte id, whose, session;
    {
        session = launcher;
        /* LaunchRequest.receive: read(2) of the length. By then the request is in memory, or the Driver is dead. */
        if :: directory[t] -> pipesOpened[t] = true :: else -> goto leave fi;     /* EventChannel.open */
#ifndef WITHOUT_IDENTITY_BEFORE_LAUNCH
        identity[t] = true;                                                       /* writeIdentity */
#endif
#ifndef WITHOUT_LOOK_AT_THE_LAUNCHER
        if :: driverAlive[launcher] -> skip :: else -> goto leave fi;             /* LaunchRequest.checkLauncher */
#endif
        /* LaunchPlan.run: the clone. */
        atomic {
            programRuns[t] = true;
            launches[t]++;
            property(launches[t] == 1, a program runs at most once for a start);
            property(!programRuns[1 - t], a program runs alone in its cgroup)
        };
        atomic { send(t, started, session, 0, NOBODY) };
#ifdef WITHOUT_IDENTITY_BEFORE_LAUNCH
        identity[t] = true;
#endif
        supervise(t, session)
    } unless { !executorAlive[t] };
leave:
    atomic { executorAlive[t] = false; programRuns[t] = false }
}
