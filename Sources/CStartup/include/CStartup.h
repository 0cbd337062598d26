// What has to happen before main: see streams.c and arguments.c.
#ifndef CSTARTUP_H
#define CSTARTUP_H

// How many words the command line has, the program's own name included.
int exec2_argument_count(void);

// A word of the command line.
const char *exec2_argument(int index);

#endif
