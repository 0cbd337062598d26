#ifndef OPTIONS_H
#define OPTIONS_H

#include <getopt.h>

/// What getopt_long(3) found.
struct exec2_option_found {
    int code;          // the option's `val` or letter; -1 at the end, '?' unknown, ':' without its value
    int offending;     // optopt: which option '?' and ':' speak of; 0 where it is no known one
    int next;          // index of the next word
    const char *value; // of the option, or NULL
};

/// getopt_long(3) without its messages; `restart` begins anew with words[1].
/// Why C: it answers in global variables, which Swift cannot read under strict concurrency.
struct exec2_option_found exec2_next_option(
    int count, char *const *words, const char *letters, const struct option *options, int restart);

#endif
