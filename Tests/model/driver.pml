/* The supervision code of the Driver. Each call of a Driver is a process here, as it is a Swift task there. */

/* SupervisedTask.receive and executorEnded, on the reactor's thread. */
proctype Reactor(byte d, t) {
    mtype kind; byte session, id, whose;
    {
        do
        :: d_step {
            events[t]?kind, session, id, whose ->
            /* ExecutorLink.dispatch: events of another session are dropped. */
            if
#ifndef WITHOUT_SESSION_NUMBERS
            :: session != d
#endif
            :: else ->
                if
                :: id == 0 && kind == started -> hasStarted[of(d, t)] = true
                :: id == 0 && kind == exited -> readRecord(d, t)
                :: id != 0 && waitingFor[d] == id && !answered[d] ->
                    answered[d] = true; answer[d] = kind; answerTo[d] = whose
                :: else
                fi
            fi;
            kind = 0; session = 0; id = 0; whose = 0 }
#ifndef WITHOUT_WATCH_OF_THE_EXECUTOR
        /* The pidfd: the events in the pipe are read first (the branch above), then the record. */
        :: atomic {
            !executorAlive[t] && empty(events[t]) ->
            readRecord(d, t);
            if
            :: hasStarted[of(d, t)] -> conclude(d, t, lost)
            :: else
            fi;
            gone[of(d, t)] = true };
            break
#endif
        od
    } unless { !driverAlive[d] }
}

/* HeldExecutor.watch. */
inline watch(d, t) {
    atomic { watched[of(d, t)] = true; run Reactor(d, t) }
}

/* ExecutorLink.exchange. Its timeout is for an Executor that is stopped. No Executor is stopped in these scenarios, so a
 * living one must have answered before no other step is possible (`timeout`). */
inline exchange(d, t, kind, number) {
    atomic { waitingFor[d] = number; answered[d] = false };
    atomic { nfull(control[t]) || gone[of(d, t)] ->
        if :: nfull(control[t]) -> control[t]!kind, d, number :: full(control[t]) fi };
    if
    :: atomic { answered[d] -> property(answerTo[d] == d, an answer is taken for no other request); waitingFor[d] = 0 }
    :: atomic { gone[of(d, t)] -> waitingFor[d] = 0 }
    :: atomic { timeout -> property(!executorAlive[t], an Executor that lives answers); waitingFor[d] = 0 }
    fi
}

/* SessionPipes.init and TaskTable.openPipes: the lock, requested up to ten times. False: another Driver has it. */
inline takeLock(d, t, taken) {
#ifdef WITHOUT_LOCK
    taken = true
#else
    if
    :: atomic { lockOf[t] == NOBODY || lockOf[t] == d -> lockOf[t] = d; taken = true }
    :: atomic { lockOf[t] != NOBODY && lockOf[t] != d -> taken = false }
    fi
#endif
}

/* TaskTable.attach: what RecoverTask finds, and what follows. `held`: whether the Executor is taken for alive. */
inline attach(d, t, held, taken) {
    taken = true;
#ifdef WITHOUT_EXECUTOR_BEFORE_RECORD
    atomic { if :: record[t] -> conclude(d, t, itsStatus) :: else fi };
#endif
    /* HeldProcess.open: pid, start time and boot. The pid alone may have been reused by another process. */
    if
    :: executorAlive[t] -> held = true
    :: !executorAlive[t] -> held = false
#ifdef WITHOUT_START_TIME
    :: !executorAlive[t] -> held = true
#endif
#ifdef WITHOUT_BOOT
    :: !executorAlive[t] && rebooted -> held = true
#endif
    fi;
#ifndef WITHOUT_EXECUTOR_BEFORE_RECORD
    atomic { if :: record[t] -> conclude(d, t, itsStatus) :: else fi };           /* TaskTable.outcome */
#endif
    if
    :: end[of(d, t)] == unknown && !held ->
        atomic { conclude(d, t, lost); gone[of(d, t)] = true }                    /* Recovery.supervisorLost, gone */
    :: end[of(d, t)] == unknown && held ->
        takeLock(d, t, taken);
        if
        :: taken ->
            hasStarted[of(d, t)] = true;                                          /* SupervisedTask.recovered */
#ifndef WITHOUT_EMPTYING_THE_PIPE
            do :: atomic { events[t]?_, _, _, _ } :: empty(events[t]) -> break od;  /* ExecutorLink.discardEarlier */
#endif
#if defined(WITHOUT_START_TIME) || defined(WITHOUT_BOOT)
            if :: executorAlive[t] -> watch(d, t) :: else -> skip fi;
#else
            watch(d, t);
#endif
            exchange(d, t, hello, 1);                                             /* ExecutorLink.openSession */
#ifndef WITHOUT_LOOK_BEHIND_HELLO
            atomic { if :: !gone[of(d, t)] -> readRecord(d, t) :: else fi }       /* SupervisedTask.takeRecord */
#else
            skip
#endif
        :: else
        fi
    :: else -> gone[of(d, t)] = true
    fi
}

/* TaskTable.recover and HeldExecutor, as far as they matter for a task that is to end. False: another Driver has the lock. */
inline holdToEnd(d, t, taken) {
    taken = true;
    if
    :: executorAlive[t] ->
        takeLock(d, t, taken);
        if :: taken -> hasStarted[of(d, t)] = true; watch(d, t) :: else fi
    :: else -> gone[of(d, t)] = true
    fi
}

/* SupervisedTask.stop and remove: SIGKILL to the Executor, and the directory is removed when the Executor is gone. The
 * time between the two is arbitrary, so any step may happen in between. */
inline stopAndRemove(d, t) {
    atomic { if :: executorAlive[t] -> givenUp[t] = true; killExecutor(t) :: else fi };
    gone[of(d, t)] -> d_step { removeDirectory(t); lockOf[t] = NOBODY }
}

/* TaskTable.destroy with force, of a task of an earlier Driver or one that no WaitTask waits for. */
inline destroy(d, t, taken) {
    if
    :: known[of(d, t)] -> stopAndRemove(d, t)
    :: atomic { !known[of(d, t)] && !recovering[of(d, t)] && !ending[of(d, t)] -> recovering[of(d, t)] = true };
        if
        :: directory[t] ->
            holdToEnd(d, t, taken);
            if :: taken -> stopAndRemove(d, t) :: else fi
        :: else
        fi
    fi;
    d_step { recovering[of(d, t)] = false; known[of(d, t)] = false }
}

#ifdef WITHOUT_WAITING_FOR_ENDS
#define isFree(d) true
#else
#define isFree(d) (!recovering[of(d, 0)] && !ending[of(d, 0)] && !starting[of(d, 0)])
#endif
/* Known and running, and no WaitTask is pending: the agent has no handle of it. */
#ifdef WITHOUT_ENDING_THE_ABANDONED
#define isAbandoned(d) false
#else
#define isAbandoned(d) (known[of(d, 0)] && !hasHandle[0] && executorAlive[0])
#endif

/* DriverService.start. The first agent starts task 0; its successor starts task 1 instead, in the same cgroup. */
proctype StartTask(byte d, t) {
    bool taken;
    {
        if
        :: t == 1 ->
            /* TaskTable.clear: waits for or ends every task of this Driver in that cgroup. */
            do
            :: atomic { isFree(d) && !isAbandoned(d) -> break }
            :: atomic { isFree(d) && isAbandoned(d) -> known[of(d, 0)] = false; ending[of(d, 0)] = true };
                stopAndRemove(d, 0);
                ending[of(d, 0)] = false
            od;
            /* TaskTable.endPredecessors: tasks that this Driver found when it started. */
            if
            :: d == 1 && directory[0] && identity[0] && executorAlive[0] -> destroy(d, 0, taken)
            :: else
            fi
        :: else
        fi;
        atomic { directory[t] = true; lockOf[t] = d };                            /* TaskDirectory.create */
        atomic { executorAlive[t] = true; run Executor(t, d) };                   /* ExecutorProcess.spawn */
        watch(d, t);
        if                                                                        /* TaskTable.outcome */
        :: hasStarted[of(d, t)] -> d_step { known[of(d, t)] = true; starting[of(d, t)] = false }
        :: gone[of(d, t)] && !hasStarted[of(d, t)] -> goto failed
        :: t == 0 && !agentAlive -> goto failed                                   /* Task.isCancelled */
        :: t == 0 -> goto failed                                                  /* the launch's timeout */
        fi;
        if
        :: atomic { t == 1 || agentAlive -> hasHandle[t] = true }
        :: atomic { t == 0 && agentAlive -> agentAlive = false }                  /* sent, but never read */
        :: t == 0 && !agentAlive ->                                               /* DriverService.undoStart */
            if
            :: atomic { known[of(d, t)] -> known[of(d, t)] = false; ending[of(d, t)] = true };
                stopAndRemove(d, t);
                ending[of(d, t)] = false
            :: !known[of(d, t)]                                                   /* a start in its cgroup has ended it */
            fi
        fi;
        goto answered_;
failed:
        stopAndRemove(d, t);
        starting[of(d, t)] = false;
answered_:
        startIsOver[t] = true
    } unless { !driverAlive[d] }
}

/* StateSweep.look: a task that was never claimed, `orphan_grace` after SetConfig. */
proctype Sweep(byte d) {
    bool mine;
    {
        if
        :: !directory[0] || known[of(d, 0)] -> goto over
        :: else
        fi;
        if
        :: !identity[0] ->                                                        /* StateSweep.removeUnstarted */
            if
            :: atomic { !pipesOpened[0] && !starting[of(d, 0)] && lockOf[0] == NOBODY -> lockOf[0] = d };
                d_step { removeDirectory(0); lockOf[0] = NOBODY }
            :: else
            fi;
            goto over
        :: else
        fi;
#ifndef WITHOUT_CLAIM
        if :: claimedFile[0] -> goto over :: else fi;                             /* DirectoryFacts.verdict */
#endif
        /* The entry is reserved before the last check: an earlier RecoverTask is seen, a later one waits. */
#ifndef WITHOUT_ENTRY_BEFORE_VERDICT
        if
        :: atomic { !known[of(d, 0)] && !recovering[of(d, 0)] && !starting[of(d, 0)] && !ending[of(d, 0)] ->
            ending[of(d, 0)] = true; mine = true }
        :: known[of(d, 0)] || recovering[of(d, 0)] || starting[of(d, 0)] || ending[of(d, 0)] -> goto over
        fi;
#endif
        if
        :: atomic { lockOf[0] == NOBODY -> lockOf[0] = d }
        :: lockOf[0] != NOBODY -> goto over
        fi;
#ifndef WITHOUT_CLAIM
        if :: claimedFile[0] -> lockOf[0] = NOBODY; goto over :: else fi;
#endif
#ifdef WITHOUT_ENTRY_BEFORE_VERDICT
        lockOf[0] = NOBODY;
        /* TaskTable.recover; a RecoverTask may have come before it, or may wait for it. */
        if
        :: known[of(d, 0)]
        :: recovering[of(d, 0)] -> known[of(d, 0)]
        :: atomic { !known[of(d, 0)] && !recovering[of(d, 0)] -> recovering[of(d, 0)] = true };
            atomic { lockOf[0] == NOBODY -> lockOf[0] = d };
            hasStarted[of(d, 0)] = true; watch(d, 0);
            atomic { recovering[of(d, 0)] = false; known[of(d, 0)] = true }
        fi;
#else
        atomic { hasStarted[of(d, 0)] = true; watch(d, 0) };
#endif
        property(!hasHandle[0], the sweep ends no task that the host has a handle of);
        stopAndRemove(d, 0);
#ifdef WITHOUT_ENTRY_BEFORE_VERDICT
        known[of(d, 0)] = false;
#endif
over:
        skip;
        atomic { if :: mine -> ending[of(d, 0)] = false :: else fi }
    } unless { !driverAlive[d] }
}
