#define _GNU_SOURCE
#include "child_unveil.h"
#include "raw_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/vfs.h>

// Paths of rules stay open below this number; every limit of descriptors allows that many.
#define UNVEIL_DESCRIPTORS 64

// The kernel's rule of Landlock for a path (uapi landlock.h): packed there, packed here.
struct landlock_path_rule {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
#define LANDLOCK_RULE_PATH 1

// Opens a path whose last two parts vouch for it by their names alone, <alloc id>-<task>/local: tasks can
// make symlinks of these names elsewhere. What leads to the two is the client's choice, symlinks or not.
static long open_by_names(const char *path) {
    size_t start = 0;
    while (path[start]) start++;
    for (int parts = 0; parts < 2; parts++) {
        while (start > 0 && path[start - 1] == '/') start--;
        while (start > 0 && path[start - 1] != '/') start--;
    }
    char folder[PATH_MAX];
    if (start == 0) return -EINVAL;
    if (start >= sizeof folder) return -ENAMETOOLONG;
    for (size_t index = 0; index < start; index++) folder[index] = path[index];
    folder[start] = 0;
    long base = CALL4(SYS_openat, AT_FDCWD, folder, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (base < 0) return base;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = CALL4(SYS_openat2, base, path + start, &how, sizeof how);
    CALL1(SYS_close, base);
    return fd;
}

// Opens what is behind `root` in a path that begins with it. Neither a symlink nor ".." may lead out of there: a task
// makes links where it may write, and a rule that followed one would open for its next start what the link names.
static long open_beneath(const char *path, const char *root) {
    size_t start = 0;
    while (root[start] && path[start] == root[start]) start++;
    if (root[start]) return -EINVAL;
    while (path[start] == '/') start++;
    long base = CALL4(SYS_openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (base < 0) return base;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = CALL4(SYS_openat2, base, path[start] ? path + start : ".", &how, sizeof how);
    CALL1(SYS_close, base);
    return fd;
}

static long open_path(const struct exec2_step *step) {
    if (step->number & EXEC2_UNVEIL_ONLY_CONTENT)
        return CALL4(SYS_openat, AT_FDCWD, step->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (step->number & EXEC2_UNVEIL_NO_SYMLINK) return open_by_names(step->path);
    if (step->text) return open_beneath(step->path, step->text);
    return CALL4(SYS_openat, AT_FDCWD, step->path, O_PATH | O_CLOEXEC, 0);
}

// What is passed over where a rule need not hold: a path that is not there, or is not below its directory any more.
static int is_gone(const struct exec2_step *step, long error) {
    if (!step->optional) return 0;
    return error == -ENOENT || error == -ENOTDIR || (step->text && (error == -EXDEV || error == -ELOOP));
}

static int has_content(long fd, const char *content, uint64_t size) {
    struct stat facts;
    if (CALL2(SYS_fstat, fd, &facts) != 0 || !S_ISREG(facts.st_mode) || (uint64_t)facts.st_size != size) return 0;
    char piece[512];
    uint64_t done = 0;
    while (done < size) {
        long count = CALL4(SYS_pread64, fd, piece, sizeof piece, done);
        if (count <= 0 || (uint64_t)count > size - done) return 0;
        for (long index = 0; index < count; index++)
            if (piece[index] != content[done + (uint64_t)index]) return 0;
        done += (uint64_t)count;
    }
    return 1;
}

static int is_meant(const struct exec2_step *step, long fd) {
    if (step->number & EXEC2_UNVEIL_ONLY_PROC) {
        struct statfs system;
        if (CALL2(SYS_fstatfs, fd, &system) != 0 || system.f_type != PROC_SUPER_MAGIC) return 0;
    }
    return !(step->number & EXEC2_UNVEIL_ONLY_CONTENT) || has_content(fd, step->text, step->soft);
}

long exec2_child_unveil(const struct exec2_step *step) {
    long fd = open_path(step);
    if (fd < 0) return is_gone(step, fd) ? 0 : fd;
    if (!is_meant(step, fd)) {
        CALL1(SYS_close, fd);
        return 0;
    }
    struct landlock_path_rule rule = {.allowed_access = step->folder_rights, .parent_fd = (int32_t)fd};
    long result = -EINVAL;
    // Most are folders, and the kernel refuses rights of folders for anything else: that is cheaper than
    // asking first what it is.
    if (rule.allowed_access != step->file_rights)
        result = CALL4(SYS_landlock_add_rule, step->fd, LANDLOCK_RULE_PATH, &rule, 0);
    if (result == -EINVAL) {
        rule.allowed_access = step->file_rights;
        result = rule.allowed_access ? CALL4(SYS_landlock_add_rule, step->fd, LANDLOCK_RULE_PATH, &rule, 0) : 0;
    }
    // Anonymous pipes and sockets take no rules and need none.
    if (result == -EBADFD) result = 0;
    // EXEC2_STEP_CLOSE closes those below with one call.
    if (fd >= UNVEIL_DESCRIPTORS) CALL1(SYS_close, fd);
    return result;
}
