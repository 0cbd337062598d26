// Swift's Mutex takes a lock that is free by an atomic exchange in the program's own code, which the
// sanitizer sees, and waits for one that is not in libswiftSynchronization, which it does not see: every
// state behind a contended Mutex then looks like a race. The linker sends the two slow ways here (--wrap).
//
// Why C: the names are the linker's, and the sanitizer's annotations are C functions.
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define CONTEXT __attribute__((swift_context))

void __tsan_acquire(void *address);
void __tsan_release(void *address);

SWIFT void real_lock(uint32_t own, CONTEXT void *mutex) __asm__("__real_$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void wrap_lock(uint32_t own, CONTEXT void *mutex) __asm__("__wrap_$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void wrap_lock(uint32_t own, CONTEXT void *mutex) {
    real_lock(own, mutex);
    __tsan_acquire(mutex);
}

SWIFT void real_unlock(CONTEXT void *mutex) __asm__("__real_$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
SWIFT void wrap_unlock(CONTEXT void *mutex) __asm__("__wrap_$s15Synchronization12_MutexHandleV11_unlockSlowyyF");
SWIFT void wrap_unlock(CONTEXT void *mutex) {
    __tsan_release(mutex);
    real_unlock(mutex);
}
