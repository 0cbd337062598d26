// Detached mounts: made here, attached in the task's mount namespace by the child (child.h).
// C because the calls have no libc wrapper in Debian 12's headers that Swift can use, and their structures and
// flags are macros behind _GNU_SOURCE. Each returns what the call does, with errno set.
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stddef.h>
#include <stdint.h>

/// The name of the file in a file system of exec2_memory_file's.
#define EXEC2_MEMORY_FILE "file"

/// A detached memory file system with one file of root's, mode 0644, with these bytes (fsopen(2), fsmount(2)):
/// its descriptor, or -1.
int exec2_memory_file(const void *bytes, size_t count);

/// A detached copy of the mount of `path`, with all that is mounted below it (open_tree(2)). Symlinks are
/// followed.
int exec2_open_tree(const char *path);

/// The same of the directory `inside` below `root`, without what is mounted below it. `root` may be reached through
/// symlinks; from there on none is followed.
int exec2_open_tree_below(const char *root, const char *inside);

/// Whether the directory `inside` below `root`, opened in the same way, is empty: 1 or 0, or -1.
int exec2_is_empty_below(const char *root, const char *inside);

/// Makes the directory `inside` below `root`, opened in the same way, as that user, unless it is there: 0, or -1. What is
/// above it must exist.
int exec2_make_directory_below(const char *root, const char *inside, uint32_t user, uint32_t group);

/// What exec2_tree_attributes sets.
enum exec2_tree_option {
    EXEC2_TREE_READ_ONLY = 1,
    EXEC2_TREE_NO_DEVICES = 2,
    EXEC2_TREE_NO_EXEC = 4,
    EXEC2_TREE_SLAVE = 8, // mounts that the host makes below it later appear; without it, none do
};

/// Sets options of exec2_tree_option on a detached mount and everything below it (mount_setattr(2), Linux 5.12).
/// Set-user-id programs never work there. No option that is set already is taken away.
int exec2_tree_attributes(int tree, int options);

/// A new description of an open file, on a read-only mount of its own: what the mount refuses, such as a change of the
/// file's mode, cannot be asked of the descriptor, and a device, FIFO or socket can be written to all the same. -1 with
/// errno set. To be called in the mount namespace that the file was opened in.
///
/// With `mount`, the descriptor of that mount is left there for the caller to close: to close it, the kernel waits for a
/// grace period of RCU.
int exec2_reopen_read_only(int descriptor, int flags, int *mount);

#endif
