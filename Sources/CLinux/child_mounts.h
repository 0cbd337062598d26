// The steps of the child (child.h) that change what it sees of the file system. Raw system calls only; each
// returns 0 or -errno.
#ifndef CHILD_MOUNTS_H
#define CHILD_MOUNTS_H

#include "child.h"

/// EXEC2_STEP_READ_ONLY: makes the directory `inside` below `root` read-only in this mount namespace.
long exec2_child_read_only(const char *root, const char *inside);

/// EXEC2_STEP_GENERATED_FILE: mounts the file of a detached file system (exec2_memory_file) over what `path`
/// leads to, read-only. Must come before /proc is mounted, whose place it borrows.
long exec2_child_generated_file(int file_system, const char *path);

/// EXEC2_STEP_MOUNT: attaches a detached mount.
long exec2_child_mount(const struct exec2_step *step);

/// EXEC2_STEP_WORK_DIR: changes to the directory `path`, or to `inside` below it. Symlinks below it are followed as long as
/// they stay there, and none of /proc's to what a process has open is followed anywhere.
long exec2_child_enter(const char *path, const char *inside);

#endif
