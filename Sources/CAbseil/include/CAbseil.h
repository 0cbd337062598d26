#ifndef CABSEIL_H
#define CABSEIL_H

#ifdef __cplusplus
extern "C" {
#endif

/// Ends the search for deadlocks at every lock that gRPC takes, which Debian's build of Abseil has switched on.
/// Before any thread uses gRPC (absl/synchronization/mutex.h, SetMutexDeadlockDetectionMode).
///
/// In C++ since Abseil has no other interface, and the namespace of its symbols changes with Debian's releases.
void exec2_ignore_deadlocks(void);

#ifdef __cplusplus
}
#endif

#endif
