#define _GNU_SOURCE
#include "child_mounts.h"
#include "mounts.h"
#include "raw_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>

// A link of /proc would lead to what this process has open, out of every root.
static long open_directory(const char *path) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    return CALL4(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

// Below `directory` and through no symlink: where tasks can write, one could lead anywhere.
static long open_below(long directory, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(O_PATH | O_CLOEXEC | flags),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    return CALL4(SYS_openat2, directory, path, &how, sizeof how);
}

static long attach(long tree, long target) {
    return CALL5(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// `root` is the agent's and may be reached through symlinks; below it tasks can write, so no symlink is
// followed there, and all goes by descriptor: a directory swapped in between is not followed either.
long exec2_child_read_only(const char *root, const char *inside) {
    long base = open_directory(root);
    if (base < 0) return base;
    long target = open_below(base, inside, O_DIRECTORY);
    CALL1(SYS_close, base);
    if (target < 0) return target;
    long tree = CALL3(SYS_open_tree, target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    long result = tree;
    if (tree >= 0) {
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
        result = CALL5(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
        if (result == 0) result = attach(tree, target);
        CALL1(SYS_close, tree);
    }
    CALL1(SYS_close, target);
    return result;
}

// Before Linux 6.15, a file can be cloned only out of an attached file system. So the file system is attached at
// /proc for a moment, which only this process can see.
static long clone_file(int file_system) {
    long result =
        CALL5(SYS_move_mount, file_system, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
    if (result < 0) return result;
    long tree = CALL3(SYS_open_tree, file_system, EXEC2_MEMORY_FILE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    result = CALL2(SYS_umount2, "/proc", MNT_DETACH);
    if (result == 0 || tree < 0) return tree;
    CALL1(SYS_close, tree);
    return result;
}

long exec2_child_generated_file(int file_system, const char *path) {
    long tree = clone_file(file_system);
    if (tree < 0) return tree;
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
    };
    long result = CALL5(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    if (result == 0)
        result = CALL5(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
    CALL1(SYS_close, tree);
    return result;
}

// Neither call reports a failure, which a shortage of memory can cause. A call with -1 returns the current id and
// changes nothing (setfsuid(2)).
static long act_as(uint32_t user, uint32_t group) {
    CALL1(SYS_setfsgid, group);
    CALL1(SYS_setfsuid, user);
    int is_done = (uint32_t)CALL1(SYS_setfsgid, -1) == group && (uint32_t)CALL1(SYS_setfsuid, -1) == user;
    return is_done ? 0 : -ENOMEM;
}

// Makes one part of a path as the task's user: what root would make wherever it was led, he may not.
static long make_part(const struct exec2_step *step, long directory, const char *name, int is_directory) {
    long result = act_as(step->user, step->group);
    if (result == 0)
        result = is_directory ? CALL3(SYS_mkdirat, directory, name, 0755)
                           : CALL4(SYS_mknodat, directory, name, S_IFREG | 0644, 0);
    if (result == -EEXIST) result = 0;
    long back = act_as(0, 0);
    return result < 0 ? result : back;
}

// Opens the destination part by part, making what is missing. Whatever happens to the names meanwhile, each
// part is opened below the one before and is no symlink.
static long open_or_make(const struct exec2_step *step, long directory) {
    const char *rest = step->text;
    char name[NAME_MAX + 1];
    for (;;) {
        size_t length = 0;
        for (; rest[length] && rest[length] != '/'; length++) {
            if (length == NAME_MAX) return -ENAMETOOLONG;
            name[length] = rest[length];
        }
        name[length] = 0;
        int is_last = rest[length] == 0;
        int is_directory = !is_last || step->number & EXEC2_MOUNT_DIRECTORY;
        long part = open_below(directory, name, is_directory ? O_DIRECTORY : 0);
        if (part == -ENOENT) {
            part = make_part(step, directory, name, is_directory);
            if (part == 0) part = open_below(directory, name, is_directory ? O_DIRECTORY : 0);
        }
        CALL1(SYS_close, directory);
        if (part < 0 || is_last) return part;
        directory = part;
        rest += length + 1;
    }
}

long exec2_child_mount(const struct exec2_step *step) {
    long base = open_directory(step->path);
    if (base < 0) return base;
    long target;
    if (step->number & EXEC2_MOUNT_MAKE) {
        target = open_or_make(step, base);
    } else {
        target = open_below(base, step->text, step->number & EXEC2_MOUNT_DIRECTORY ? O_DIRECTORY : 0);
        CALL1(SYS_close, base);
    }
    if (target < 0) return target;
    struct stat facts;
    long result = CALL2(SYS_fstat, target, &facts);
    if (result == 0 && S_ISDIR(facts.st_mode) && !(step->number & EXEC2_MOUNT_DIRECTORY)) result = -EISDIR;
    if (result == 0) result = attach(step->fd, target);
    CALL1(SYS_close, target);
    return result;
}

long exec2_child_enter(const char *path, const char *inside) {
    long directory = open_directory(path);
    if (directory >= 0 && inside) {
        long base = directory;
        struct open_how how = {
            .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        directory = CALL4(SYS_openat2, base, inside, &how, sizeof how);
        CALL1(SYS_close, base);
    }
    if (directory < 0) return directory;
    long result = CALL1(SYS_fchdir, directory);
    CALL1(SYS_close, directory);
    return result;
}
