// Memory of the program itself, for what it keeps as long as it runs.
//
// Why C: in Swift such memory comes from the heap, where each buffer takes a page for its size alone, and keeps what lies
// between them from being given back.
#include "allocation.h"

#define RESERVED (104 * 1024)

static _Alignas(16) char reserved[RESERVED];
static size_t used;

void *exec2_reserved(size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > RESERVED - used) exec2_out_of_memory();
    char *start = reserved + used;
    used += rounded;
    return start;
}
