// An allocation that fails ends the Executor.
//
// Why C: Embedded Swift allocates with posix_memalign(3) and does not check for failure, so that the program
// would hang or write to a wrong address. The linker sends the Executor's calls here (--wrap, ld(1)).
#include <stdlib.h>
#include <unistd.h>

#include "allocation.h"

void exec2_out_of_memory(void) { _exit(EXEC2_OUT_OF_MEMORY_STATUS); }

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
