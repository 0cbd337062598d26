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
#define LANDLOCK_RULE_IS_QUIET 1

// Opens a path whose last two parts vouch for it by their names alone, <alloc id>-<task>/local: tasks can
// make symlinks of these names elsewhere. What leads to the two is the client's choice, symlinks or not.
static long open_by_names(const char *path) {
    size_t start = 0;
    while (path[start]) start++;
    for (int parts = 0; parts < 2; parts++) {
        while (start > 0 && path[start - 1] == '/') start--;
        while (start > 0 && path[start - 1] != '/') start--;
    }
    char directory[PATH_MAX];
    if (start == 0) return -EINVAL;
    if (start >= sizeof directory) return -ENAMETOOLONG;
    for (size_t index = 0; index < start; index++) directory[index] = path[index];
    directory[start] = 0;
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    long base = CALL4(SYS_openat2, AT_FDCWD, directory, &how, sizeof how);
    if (base < 0) return base;
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
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
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_NO_MAGICLINKS,
    };
    long base = CALL4(SYS_openat2, AT_FDCWD, root, &how, sizeof how);
    if (base < 0) return base;
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    long fd = CALL4(SYS_openat2, base, path[start] ? path + start : ".", &how, sizeof how);
    CALL1(SYS_close, base);
    return fd;
}

static long open_path(const struct exec2_step *step) {
    if (step->number & EXEC2_UNVEIL_NO_SYMLINK) return open_by_names(step->path);
    if (step->text && !(step->number & EXEC2_UNVEIL_ONLY_CONTENT)) return open_beneath(step->path, step->text);
    if (step->number & EXEC2_UNVEIL_STREAM) return CALL4(SYS_openat, AT_FDCWD, step->path, O_PATH | O_CLOEXEC, 0);
    // A link of /proc leads to what this process has open, which is not the task's.
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    return CALL4(SYS_openat2, AT_FDCWD, step->path, &how, sizeof how);
}

static int is_shortage(long error) { return error == -ENOMEM || error == -EMFILE || error == -ENFILE; }

// What is passed over where a rule need not hold: a path that is not there, or is not below its directory any more. 0;
// an error number where that is to be noted; or the error, where it is not passed over.
static long pass_over(const struct exec2_step *step, long error) {
    if (!step->optional) return error;
    if (error == -ENOENT || error == -ENOTDIR) return 0;
    if (step->number & EXEC2_UNVEIL_ANY_FAILURE) return is_shortage(error) ? error : -error;
    return step->text && (error == -EXDEV || error == -ELOOP) ? 0 : error;
}

// In the task's view, names and what stands at them are the task's choice: a path is opened with O_PATH, which opens
// no FIFO and no device, and only a regular file is then opened to be read, by the descriptor that showed what it is.
static long open_again(long fd) {
    char path[40] = "/proc/self/fd/";
    size_t length = sizeof "/proc/self/fd/" - 1, digits = 1;
    for (long rest = fd; rest >= 10; rest /= 10) digits++;
    for (size_t position = length + digits; position-- > length; fd /= 10) path[position] = (char)('0' + fd % 10);
    return CALL4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
}

static int has_content(long fd, const char *content, uint64_t size) {
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

static int is_on(long fd, long file_system) {
    struct statfs facts;
    return CALL2(SYS_fstatfs, fd, &facts) == 0 && facts.f_type == file_system;
}

// 1 where it is the file that was made for the task (mounts.c), 0 where it is not, or an error.
static long is_generated(const struct exec2_step *step, long fd) {
    struct stat facts;
    if (CALL2(SYS_fstat, fd, &facts) != 0 || !S_ISREG(facts.st_mode) || (uint64_t)facts.st_size != step->text_size) return 0;
    if (!is_on(fd, TMPFS_MAGIC)) return 0;
    long file = open_again(fd);
    if (file < 0) return is_shortage(file) ? file : 0;
    int result = has_content(file, step->text, step->text_size);
    CALL1(SYS_close, file);
    return result;
}

static long is_meant(const struct exec2_step *step, long fd) {
    if (step->number & EXEC2_UNVEIL_ONLY_PROC && !is_on(fd, PROC_SUPER_MAGIC)) return 0;
    return step->number & EXEC2_UNVEIL_ONLY_CONTENT ? is_generated(step, fd) : 1;
}

long exec2_child_unveil(const struct exec2_step *step) {
    long fd = open_path(step);
    if (fd < 0) return pass_over(step, fd);
    long meant = is_meant(step, fd);
    if (meant <= 0) {
        CALL1(SYS_close, fd);
        return meant;
    }
    struct landlock_path_rule rule = {.allowed_access = step->directory_rights, .parent_fd = (int32_t)fd};
    long result = -EINVAL;
    if (step->number & EXEC2_UNVEIL_QUIET) {
        rule.allowed_access = 0;
        result = CALL4(SYS_landlock_add_rule, step->fd, LANDLOCK_RULE_PATH, &rule, LANDLOCK_RULE_IS_QUIET);
        CALL1(SYS_close, fd);
        return result;
    }
    // Most are directories, and the kernel refuses rights of directories for anything else: that is cheaper than
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
