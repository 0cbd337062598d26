#define _GNU_SOURCE
#include "roots.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int exec2_unshare_mounts(void) { return unshare(CLONE_NEWNS); }

int exec2_enter_mounts(int namespace, int root) {
    if (setns(namespace, CLONE_NEWNS) < 0) return -1;
    return root < 0 ? 0 : fchdir(root) < 0 || chroot(".") < 0 ? -1 : chdir("/");
}

int exec2_make_mounts_slave(void) { return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL); }

static int configure(int context, const char *const *options, size_t count) {
    for (size_t index = 0; index < count; index++) {
        const char *key = options[2 * index], *value = options[2 * index + 1];
        int command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        if (syscall(SYS_fsconfig, context, command, key, value, 0) < 0) return -1;
    }
    return (int)syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int exec2_new_file_system(const char *type, const char *const *options, size_t count, int attributes) {
    int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0) return -1;
    int mount = -1;
    if (configure(context, options, count) == 0) {
        unsigned flags = MOUNT_ATTR_NOSUID | (attributes & EXEC2_FILE_SYSTEM_READ_ONLY ? MOUNT_ATTR_RDONLY : 0)
                         | (attributes & EXEC2_FILE_SYSTEM_NO_DEVICES ? MOUNT_ATTR_NODEV : 0)
                         | (attributes & EXEC2_FILE_SYSTEM_NO_EXEC ? MOUNT_ATTR_NOEXEC : 0);
        mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, flags);
    }
    int error = errno;
    close(context);
    errno = error;
    return mount;
}

int exec2_new_terminals(void) {
    // The kernel's own maximum is for all of the host's (Documentation/filesystems/devpts.rst).
    static const char *const options[] = {"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", "max", "256"};
    return exec2_new_file_system("devpts", options, 4, EXEC2_FILE_SYSTEM_NO_EXEC);
}

int exec2_clone_mount(int directory, const char *path, int recursive) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0);
    return (int)syscall(SYS_open_tree, directory, path, flags | (path[0] ? 0 : AT_EMPTY_PATH));
}

int exec2_attach_mount(int tree, int directory, const char *path) {
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (path[0] ? 0 : MOVE_MOUNT_T_EMPTY_PATH);
    return (int)syscall(SYS_move_mount, tree, "", directory, path, flags);
}

int exec2_make_read_only(int mount) {
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}

int exec2_detach_mount(const char *path) { return umount2(path, MNT_DETACH); }

// umount2(2) takes no descriptor, and a path could lead elsewhere by now.
int exec2_detach_open_mount(int proc, int mount) {
    char link[32];
    snprintf(link, sizeof link, "self/fd/%d", mount);
    if (fchdir(proc) < 0) return -1;
    int result = umount2(link, MNT_DETACH);
    int error = errno;
    if (chdir("/") < 0) return -1;
    errno = error;
    return result;
}

// With both arguments ".", the old root ends up on top of the new one, where it is detached (pivot_root(2), NOTES).
int exec2_enter_root(int root) {
    if (fchdir(root) < 0) return -1;
    if (syscall(SYS_pivot_root, ".", ".") < 0) return -1;
    if (umount2(".", MNT_DETACH) < 0) return -1;
    return chdir("/");
}

// Of statx(2), whose mask and field Debian 12's headers have under _GNU_SOURCE alone.
uint64_t exec2_mount_id(int descriptor) {
    struct statx facts;
    int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC;
    if (statx(descriptor, "", flags, STATX_MNT_ID, &facts) < 0) return 0;
    return facts.stx_mask & STATX_MNT_ID ? facts.stx_mnt_id : 0;
}

int exec2_mount_options(int descriptor) {
    struct statfs facts;
    if (fstatfs(descriptor, &facts) < 0) return -1;
    return (facts.f_flags & ST_RDONLY ? EXEC2_MOUNT_READ_ONLY : 0)
           | (facts.f_flags & ST_NODEV ? EXEC2_MOUNT_NO_DEVICES : 0);
}

const char *exec2_next_name(DIR *directory) {
    errno = 0;
    const struct dirent *entry = readdir(directory);
    return entry ? entry->d_name : NULL;
}
