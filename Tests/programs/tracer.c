// Holds a process of a task as a debugger does that hangs: traces it from outside and waits for nothing. When the process
// has ended it stays a zombie that its parent cannot reap, until this ends too (ptrace(2)).
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
