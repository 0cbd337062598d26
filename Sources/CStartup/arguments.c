#include "CStartup.h"

#include <stddef.h>

static int argument_count;
static char **arguments;

// Why C, and why here: Swift's CommandLine reads /proc/self/cmdline, and without /proc it is empty, as if nothing had
// been typed. The C library hands constructors what it hands main.
__attribute__((constructor)) static void keep_arguments(int count, char **words) {
    argument_count = count;
    arguments = words;
}

int exec2_argument_count(void) { return argument_count; }

const char *exec2_argument(int index) { return index >= 0 && index < argument_count ? arguments[index] : NULL; }
