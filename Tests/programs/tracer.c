// Traces a process of a task from outside like a hanging debugger, without waiting for it. After its end the process stays
// a zombie that its parent cannot reap, until this program ends too (ptrace(2)).
//
//   tracer PID             prints "traces", and ends at the end of its input
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count != 2 || ptrace(PTRACE_SEIZE, atoi(words[1]), NULL, NULL) < 0) {
        perror("ptrace");
        return 1;
    }
    puts("traces");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    return 0;
}
