// Writes numbered lines of 64 bytes to stdout and stderr alternately. Linked
// statically.
//
//   flood MEGABYTES-EACH [MICROSECONDS-BETWEEN-BLOCKS]
//
// Ends with code 0 when all was written, 1 when a write failed.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { width = 64, lines = 1024 };

static int put(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written <= 0) return 1;
        bytes += written;
        length -= written;
    }
    return 0;
}

int main(int argc, char **argv) {
    long blocks = (argc > 1 ? atol(argv[1]) : 1) * (1 << 20) / (width * lines);
    long pause = argc > 2 ? atol(argv[2]) : 0;
    static char block[width * lines + 1];
    unsigned long number = 0;
    for (long index = 0; index < blocks; index++) {
        for (int line = 0; line < lines; line++, number++)
            snprintf(block + line * width, width + 1, "%063lu\n", number);
        if (put(1, block, width * lines) || put(2, block, width * lines)) return 1;
        if (pause) usleep(pause);
    }
    return 0;
}
