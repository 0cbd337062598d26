#include "CStartup.h"

#include <fcntl.h>
#include <unistd.h>

// Opens /dev/null in the place of what the caller has closed of the standard streams: another file in their place
// would get what is meant for them.
//
// Why C, and why here: the first to take such a number is a static initialiser of gRPC's, which keeps an eventfd
// open. It runs before main; a constructor with a priority (those up to 100 are the C library's) before that.
__attribute__((constructor(101))) static void open_missing_streams(void) {
    for (;;) {
        int number = open("/dev/null", O_RDWR);
        if (number < 0) return;
        if (number > STDERR_FILENO) {
            close(number);
            return;
        }
    }
}
