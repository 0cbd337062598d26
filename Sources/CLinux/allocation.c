// An allocation that fails ends the Executor.
//
// Why C: Embedded Swift allocates with posix_memalign(3) and does not check for failure, so that the program
// would hang or write to a wrong address. The linker sends the Executor's calls here (--wrap, ld(1)).
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "allocation.h"

void exec2_out_of_memory(void) { _exit(EXEC2_OUT_OF_MEMORY_STATUS); }

// Of glibc, which calls it when a thread ends. What is in the thread's cache of freed memory counts as used, and keeps
// most pages of the heap from being given back.
void __malloc_arena_thread_freeres(void);
#pragma weak __malloc_arena_thread_freeres

// More than was ever in use. Nothing else can be there: the kernel keeps a gap of 1 MiB below a stack.
#define STACK_IN_USE (256 * 1024)
// What functions that are called from here on need while the pages are given back.
#define STACK_RESERVE 512

__attribute__((noinline)) void exec2_release_memory(void) {
    if (__malloc_arena_thread_freeres) __malloc_arena_thread_freeres();
    malloc_trim(0);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - STACK_RESERVE) & ~(page - 1);
    // ENOMEM says that the stack has never grown that far; what it has is given back all the same (madvise(2)).
    (void)madvise((void *)(end - STACK_IN_USE), STACK_IN_USE, MADV_DONTNEED);
}

// In a build for tests the layer of faults stands here, and ends as this does.
#ifndef EXEC2_FAULTS
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
#pragma weak __real_posix_memalign
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    if (__real_posix_memalign(memory, alignment, size) != 0) exec2_out_of_memory();
    return 0;
}
#endif
