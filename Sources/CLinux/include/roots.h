// Mount namespaces that tasks' roots are made in: entered, filled and left by the Executor's one thread.
// C because the calls have no libc wrapper in Debian 12's headers that Swift can use, and their structures and
// flags are macros behind _GNU_SOURCE. Each returns what the call does, with errno set.
#ifndef ROOTS_H
#define ROOTS_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>

/// Moves this process to a mount namespace of its own, a copy of the one that it is in (unshare(2), CLONE_NEWNS).
int exec2_unshare_mounts(void);

/// Enters a mount namespace (setns(2)), where the root of this process becomes that of the namespace, which another root
/// hides from an agent in a chroot, or the directory `root`; -1: none.
int exec2_enter_mounts(int namespace, int root);

/// Makes every mount of this namespace a slave (mount(2), MS_REC | MS_SLAVE): what is mounted here stays here, and what
/// the host mounts or unmounts arrives.
int exec2_make_mounts_slave(void);

/// A detached new file system (fsopen(2), fsconfig(2), fsmount(2)), nosuid: its descriptor, or -1.
///
/// options: `count` pairs of a key and a value; a NULL value sets the key as a flag.
int exec2_new_file_system(const char *type, const char *const *options, size_t count, int attributes);

/// A detached devpts file system of its own, nosuid and noexec, whose terminals everybody may make: its descriptor, or -1.
int exec2_new_terminals(void);

/// In `attributes` of exec2_new_file_system.
enum exec2_file_system_attribute {
    EXEC2_FILE_SYSTEM_READ_ONLY = 1,
    EXEC2_FILE_SYSTEM_NO_DEVICES = 2,
    EXEC2_FILE_SYSTEM_NO_EXEC = 4,
};

/// A detached copy of the mount of `path` below `directory`, or of `directory` itself where `path` is empty
/// (open_tree(2)). No symlink is followed at the end of `path`. recursive: with what is mounted below it.
int exec2_clone_mount(int directory, const char *path, int recursive);

/// Attaches a detached mount at `path` below `directory`, or at `directory` itself where `path` is empty
/// (move_mount(2)).
int exec2_attach_mount(int tree, int directory, const char *path);

/// Makes a mount, and none below it, read-only (mount_setattr(2)).
int exec2_make_read_only(int mount);

/// Detaches what is mounted at `path` (umount2(2), MNT_DETACH).
int exec2_detach_mount(const char *path);

/// Detaches a mount of this namespace, of which `mount` is the root, with what is mounted below it; EINVAL where it is
/// no mount's root. `proc` is an open /proc that shows this process. The working directory is the root afterwards.
int exec2_detach_open_mount(int proc, int mount);

/// Makes the directory `root`, which is a mount, the root of this namespace, and detaches the old one (pivot_root(2)).
int exec2_enter_root(int root);

/// The mount that an open file is on (statx(2), STATX_MNT_ID), or 0 where the kernel does not tell.
uint64_t exec2_mount_id(int descriptor);

/// In what exec2_mount_options returns.
enum exec2_mount_option {
    EXEC2_MOUNT_READ_ONLY = 1,
    EXEC2_MOUNT_NO_DEVICES = 2,
};

/// The options of the mount that an open file is on, exec2_mount_option (fstatfs(2)), or -1.
int exec2_mount_options(int descriptor);

/// The name of a directory's next entry, which Swift sees as a tuple of 256 bytes (readdir(3)). NULL at the end, where
/// errno is 0, and where it cannot be read.
const char *exec2_next_name(DIR *directory);

#endif
