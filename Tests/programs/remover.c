// Removes a directory whenever it can, as another Driver does with a cgroup that is empty, until the end of its input; then
// prints how often it could.
//
//   remover DIRECTORY
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **words) {
    long removed = 0;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    // With pauses, so that whoever makes it has a chance.
    struct timespec pause = {.tv_nsec = 50000};
    while (count == 2 && ppoll(&input, 1, &pause, NULL) == 0) removed += rmdir(words[1]) == 0;
    printf("%ld\n", removed);
    return 0;
}
