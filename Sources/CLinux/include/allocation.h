#ifndef ALLOCATION_H
#define ALLOCATION_H

#include <stddef.h>

/// The exit status of an Executor that had no memory.
#define EXEC2_OUT_OF_MEMORY_STATUS 4

/// Ends the process with EXEC2_OUT_OF_MEMORY_STATUS. C so that nothing can be needed on the way.
void exec2_out_of_memory(void) __attribute__((noreturn));

/// Gives the heap's free pages back to the kernel (malloc_trim(3)), and those of the stack that lie below the caller's
/// frame. For the only thread of a process. C: Swift has no address of a frame.
void exec2_release_memory(void);

/// Memory that is never freed, zero, and aligned to 16 bytes. A page of it is used only once something is written to it.
/// Ends the process with EXEC2_OUT_OF_MEMORY_STATUS where nothing is left. For the only thread of a process.
void *_Nonnull exec2_reserved(size_t size);

#endif
