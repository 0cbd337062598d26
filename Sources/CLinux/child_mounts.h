// The steps of the child (child.h) that change what it sees of the file system. Raw system calls only; each
// returns 0 or -errno.
#ifndef CHILD_MOUNTS_H
#define CHILD_MOUNTS_H

/// EXEC2_STEP_READ_ONLY: makes the folder `inside` below `root` read-only in this mount namespace.
long exec2_child_read_only(const char *root, const char *inside);

#endif
