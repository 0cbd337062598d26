#ifndef ALLOCATION_H
#define ALLOCATION_H

/// The exit status of an Executor that had no memory.
#define EXEC2_OUT_OF_MEMORY_STATUS 4

/// Ends the process with EXEC2_OUT_OF_MEMORY_STATUS. C so that nothing can be needed on the way.
void exec2_out_of_memory(void) __attribute__((noreturn));

#endif
