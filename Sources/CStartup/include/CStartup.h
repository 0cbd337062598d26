// What has to happen before main (streams.c and arguments.c), and a function for a C library that lacks it (hypotenuse.c).
#ifndef CSTARTUP_H
#define CSTARTUP_H

// How many words the command line has, the program's own name included.
int exec2_argument_count(void);

// A word of the command line.
const char *exec2_argument(int index);

// The length of a hypotenuse: the definition of hypotf in the Driver.
float exec2_hypotf(float x, float y);

#endif
