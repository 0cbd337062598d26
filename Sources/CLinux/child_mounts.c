#define _GNU_SOURCE
#include "child_mounts.h"
#include "raw_calls.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>

// Makes the folder `inside` below `root` read-only in this mount namespace. `root` is the agent's and
// may be reached through symlinks; below it tasks can write, so no symlink is followed there, and all
// goes by descriptor: a folder swapped in between is not followed either.
long exec2_child_read_only(const char *root, const char *inside) {
    long base = CALL4(SYS_openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (base < 0) return base;
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long target = CALL4(SYS_openat2, base, inside, &how, sizeof how);
    CALL1(SYS_close, base);
    if (target < 0) return target;
    long tree = CALL3(SYS_open_tree, target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    long result = tree;
    if (tree >= 0) {
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
        result = CALL5(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
        if (result == 0)
            result = CALL5(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
        CALL1(SYS_close, tree);
    }
    CALL1(SYS_close, target);
    return result;
}
