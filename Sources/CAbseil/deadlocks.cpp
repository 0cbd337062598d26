#include "CAbseil.h"

#include <absl/synchronization/mutex.h>

void exec2_ignore_deadlocks(void) { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }
