#include "options.h"

#include <stddef.h>

struct exec2_option_found exec2_next_option(
    int count, char *const *words, const char *letters, const struct option *options, int restart) {
    opterr = 0;
    // glibc's way to forget the words of an earlier scan.
    if (restart) optind = 0;
    optarg = NULL;
    optopt = 0;
    int code = getopt_long(count, words, letters, options, NULL);
    return (struct exec2_option_found){.code = code, .offending = optopt, .next = optind, .value = optarg};
}
