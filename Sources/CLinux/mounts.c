#define _GNU_SOURCE
#include "mounts.h"
#include "system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void close_keeping_errno(int descriptor) {
    int error = errno;
    close(descriptor);
    errno = error;
}

static int mount_memory(void) {
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0) return -1;
    int mount = -1;
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    close_keeping_errno(context);
    return mount;
}

static int write_file(int directory, const char *bytes, size_t count) {
    int file = exec2_openat(directory, EXEC2_MEMORY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0) return -1;
    int result = fchmod(file, 0644); // the umask is the agent's
    for (size_t done = 0; result == 0 && done < count;) {
        ssize_t written = write(file, bytes + done, count - done);
        if (written < 0 && errno != EINTR) result = -1;
        if (written > 0) done += (size_t)written;
    }
    close_keeping_errno(file);
    return result;
}

int exec2_memory_file(const void *bytes, size_t count) {
    int mount = mount_memory();
    if (mount < 0 || write_file(mount, bytes, count) == 0) return mount;
    close_keeping_errno(mount);
    return -1;
}

int exec2_open_tree(const char *path) {
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
}

static int open_below(const char *root, const char *inside, int flags) {
    int base = exec2_open(root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (base < 0) return -1;
    int directory = exec2_open_no_symlinks(base, inside, flags | O_DIRECTORY | O_CLOEXEC, 1);
    close_keeping_errno(base);
    return directory;
}

int exec2_open_tree_below(const char *root, const char *inside) {
    int directory = open_below(root, inside, O_PATH);
    if (directory < 0) return -1;
    int tree = (int)syscall(SYS_open_tree, directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    close_keeping_errno(directory);
    return tree;
}

// Of getdents64(2), which has no header of its own.
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int is_dot(const char *name) { return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])); }

int exec2_is_empty_below(const char *root, const char *inside) {
    int directory = open_below(root, inside, O_RDONLY);
    if (directory < 0) return -1;
    _Alignas(struct entry) char entries[2048];
    int result = 1;
    long count = 0;
    while (result == 1 && (count = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0)
        for (long at = 0; at < count; at += ((struct entry *)(entries + at))->length)
            if (!is_dot(((struct entry *)(entries + at))->name)) result = 0;
    if (count < 0) result = -1;
    close_keeping_errno(directory);
    return result;
}

// Neither call reports a failure, which a shortage of memory can cause. A call with -1 returns the current id and
// changes nothing (setfsuid(2)).
static int act_as(uint32_t user, uint32_t group) {
    setfsgid(group);
    setfsuid(user);
    if ((uint32_t)setfsgid((gid_t)-1) == group && (uint32_t)setfsuid((uid_t)-1) == user) return 0;
    errno = ENOMEM;
    return -1;
}

int exec2_make_directory_below(const char *root, const char *inside, uint32_t user, uint32_t group) {
    const char *slash = strrchr(inside, '/');
    char above[PATH_MAX] = {'.'};
    size_t length = slash ? (size_t)(slash - inside) : 0;
    if (length >= sizeof above) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (length > 0) memcpy(above, inside, length);
    int directory = open_below(root, above, O_PATH);
    if (directory < 0) return -1;
    int result = act_as(user, group);
    if (result == 0) result = mkdirat(directory, slash ? slash + 1 : inside, 0755);
    if (result < 0 && errno == EEXIST) result = 0;
    int error = errno;
    int back = act_as(0, 0);
    if (back == 0) errno = error;
    close_keeping_errno(directory);
    if (result < 0 || back < 0) return -1;
    // What was there may be something else.
    directory = open_below(root, inside, O_PATH);
    if (directory < 0) return -1;
    close(directory);
    return 0;
}

int exec2_tree_attributes(int tree, int options) {
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_NOSUID | (options & EXEC2_TREE_READ_ONLY ? MOUNT_ATTR_RDONLY : 0)
                    | (options & EXEC2_TREE_NO_DEVICES ? MOUNT_ATTR_NODEV : 0)
                    | (options & EXEC2_TREE_NO_EXEC ? MOUNT_ATTR_NOEXEC : 0),
        .propagation = options & EXEC2_TREE_SLAVE ? MS_SLAVE : MS_PRIVATE,
    };
    return (int)syscall(
        SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes);
}

int exec2_reopen_read_only(int descriptor, int flags, int *mount) {
    int tree = (int)syscall(SYS_open_tree, descriptor, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return -1;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
    int file = -1;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", tree);
        file = exec2_open(path, flags | O_NOCTTY | O_CLOEXEC, 0);
    }
    if (mount && file >= 0) *mount = tree; else close_keeping_errno(tree);
    return file;
}
