// The task's root of bare.c: a copy of the template with what only this task has, made in two parts as the driver does:
// what every task has before the request, the rest after it.
#define _GNU_SOURCE
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

static int new_file_system(const char *type, const char *const (*options)[2], size_t count, unsigned attributes) {
    int context = (int)must(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), "fsopen");
    for (size_t index = 0; index < count; index++) {
        int command = options[index][1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        must(syscall(SYS_fsconfig, context, command, options[index][0], options[index][1], 0), options[index][0]);
    }
    must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), type);
    int mount = (int)must(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | attributes), "fsmount");
    close(context);
    return mount;
}

// A detached mount of a directory or file.
static int clone_mount(int directory, const char *path) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (path[0] ? 0 : AT_EMPTY_PATH);
    return (int)must(syscall(SYS_open_tree, directory, path, flags), "open_tree");
}

static void set_attributes(int mount, uint64_t attributes, uint64_t propagation) {
    struct mount_attr wanted = {.attr_set = attributes, .propagation = propagation};
    must(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &wanted, sizeof wanted), "mount_setattr");
}

static void attach(int mount, int directory, const char *path) {
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (path[0] ? 0 : MOVE_MOUNT_T_EMPTY_PATH);
    must(syscall(SYS_move_mount, mount, "", directory, path, flags), path[0] ? path : "move_mount");
}

// Attaches a mount at a path of the root that this process is in.
static void attach_in_root(int mount, const char *path) {
    int place = (int)must(open_path(AT_FDCWD, path, O_PATH, RESOLVE_NO_SYMLINKS), path);
    attach(mount, place, "");
    close(place);
}

static void enter(int namespace) { must(setns(namespace, CLONE_NEWNS), "setns"); }

// Ahead of the request

// The tmpfs of the task's own: its directories are mounted at three places.
static void make_own_files(const struct plan *plan, struct ahead *ahead) {
    const char *const options[][2] = {{"size", plan->shm_size}, {"mode", "0755"}};
    int own = new_file_system("tmpfs", options, 2, MOUNT_ATTR_NODEV);
    attach(own, AT_FDCWD, "/proc"); // only for a moment: a directory can be cloned out of an attached file system only
    must(mkdirat(own, "tree", 0755), "mkdir");
    must(mkdirat(own, "cgroup", 0755), "mkdir");
    must(mkdirat(own, "shm", 01777), "mkdir");
    ahead->tree = clone_mount(own, "tree");
    ahead->cgroup = clone_mount(own, "cgroup");
    int shm = clone_mount(own, "shm");
    must(umount2("/proc", MNT_DETACH), "umount2");
    close(own);
    attach_in_root(shm, "/dev/shm");
    close(shm);
}

static void mask(const char *name, int empty_file, int empty_directory) {
    char path[256];
    snprintf(path, sizeof path, "/proc/%s", name);
    int place = open_path(AT_FDCWD, path, O_PATH, RESOLVE_NO_SYMLINKS);
    if (place < 0 && errno == ENOENT) return;
    must(place, path);
    struct stat facts;
    must(fstat(place, &facts), path);
    int cover = clone_mount(S_ISDIR(facts.st_mode) ? empty_directory : empty_file, "");
    attach(cover, place, "");
    close(cover);
    close(place);
}

static void mount_proc(const struct plan *plan) {
    int empty_file = (int)must(open_path(AT_FDCWD, "/proc/empty", O_PATH, 0), "/proc/empty");
    int empty_directory = (int)must(open_path(AT_FDCWD, "/proc/none", O_PATH, 0), "/proc/none");
    int proc = new_file_system("proc", NULL, 0, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    attach_in_root(proc, "/proc");
    close(proc);
    for (size_t index = 0; index < plan->masked_count; index++) mask(plan->masked[index], empty_file, empty_directory);
    close(empty_file);
    close(empty_directory);
}

static void mount_terminals(void) {
    const char *const options[][2] = {{"newinstance", NULL}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"max", "256"}};
    int terminals = new_file_system("devpts", options, 4, MOUNT_ATTR_NOEXEC);
    attach_in_root(terminals, "/dev/pts");
    close(terminals);
}

static int make_ruleset(const struct plan *plan) {
    // As in newer kernels than this header may be of.
    struct {
        uint64_t handled_access_fs, handled_access_net, scoped;
    } attributes = {.handled_access_fs = plan->handled, .scoped = plan->scoped};
    return (int)must(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0), "landlock_create_ruleset");
}

static void add_rules_ahead(const struct plan *plan, int ruleset) {
    for (size_t index = 0; index < plan->rule_count; index++) {
        const struct rule *rule = &plan->rules[index];
        if (rule->time != RULE_AHEAD) continue;
        int found = open_path(AT_FDCWD, rule->path, O_PATH, RESOLVE_NO_MAGICLINKS);
        if (found < 0 && (errno == ENOENT || errno == ENOTDIR)) continue;
        must(found, rule->path);
        must(add_rule(ruleset, rule, found), rule->path);
        close(found);
    }
}

static int read_only_null(void) {
    int mount = clone_mount(AT_FDCWD, "/dev/null");
    set_attributes(mount, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", mount);
    return (int)must(open(path, O_RDWR | O_CLOEXEC), "open /dev/null");
}

struct ahead make_ahead(const struct plan *plan) {
    struct ahead ahead;
    must(dup2(read_only_null(), STDIN_FILENO), "dup2");
    umask(0);
    ahead.host_proc = (int)must(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), "open /proc");
    ahead.host_namespace = (int)must(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), "open the mount namespace");
    ahead.template = (int)must(open(plan->template, O_RDONLY | O_CLOEXEC), plan->template);
    ahead.ruleset = make_ruleset(plan);
    enter(ahead.template);
    must(unshare(CLONE_NEWNS), "unshare");
    ahead.root = (int)must(openat(ahead.host_proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC), "open the task's root");
    must(umount2("/proc/directories", MNT_DETACH), "umount2 /proc/directories");
    make_own_files(plan, &ahead);
    mount_proc(plan);
    mount_terminals();
    add_rules_ahead(plan, ahead.ruleset);
    enter(ahead.host_namespace);
    return ahead;
}

// At the request

// A log's FIFO for the task: opened through a read-only mount, so that the task cannot change its mode or owner.
static int open_log(const struct plan *plan, const char *path) {
    int root = (int)must(open(plan->log_root, O_PATH | O_DIRECTORY | O_CLOEXEC), plan->log_root);
    int found = (int)must(open_path(root, path + strlen(plan->log_root) + 1, O_PATH, BENEATH), path);
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", found);
    int own = (int)must(open(link, O_RDWR | O_NONBLOCK | O_CLOEXEC), path);
    must(fchmod(own, 0200), path);
    must(fchown(own, plan->user, plan->group), path);
    int mount = clone_mount(found, "");
    set_attributes(mount, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", mount);
    int log = (int)must(open(link, O_WRONLY | O_CLOEXEC), path);
    close(root);
    close(found);
    // `own` keeps the FIFO open, and closing `mount` would make the kernel wait.
    return log;
}

static int clone_directory(int from, const struct directory *directory) {
    int found = (int)must(open_path(from, directory->path, O_PATH | O_DIRECTORY, BENEATH), directory->path);
    int tree = clone_mount(found, "");
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (directory->read_only ? MOUNT_ATTR_RDONLY : 0);
    set_attributes(tree, attributes, MS_PRIVATE);
    close(found);
    return tree;
}

int open_cgroup(const struct plan *plan) {
    int cgroup = (int)must(open(plan->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), plan->cgroup);
    for (size_t index = 0; index < plan->write_count; index++) {
        const struct cgroup_write *wanted = &plan->writes[index];
        int file = openat(cgroup, wanted->file, O_WRONLY | O_CLOEXEC);
        if (file < 0 && errno == ENOENT && wanted->optional) continue;
        must(file, wanted->file);
        must(write(file, wanted->value, strlen(wanted->value)), wanted->file);
        close(file);
    }
    return cgroup;
}

struct opened open_on_host(const struct plan *plan) {
    struct opened opened = {.out = open_log(plan, plan->stdout_path), .error = open_log(plan, plan->stderr_path), .task = -1};
    opened.cgroup = open_cgroup(plan);
    int directories = (int)must(open(plan->directories, O_PATH | O_DIRECTORY | O_CLOEXEC), plan->directories);
    // The first is cloned in the template, whose mount of their parent has no other task's mounts below it.
    for (size_t index = 1; index < plan->own_count; index++)
        opened.trees[index] = clone_directory(directories, &plan->own[index]);
    close(directories);
    return opened;
}

static int clone_first_directory(const struct plan *plan) {
    int parent = (int)must(open("/proc/directories", O_PATH | O_DIRECTORY | O_CLOEXEC), "open /proc/directories");
    int tree = clone_directory(parent, &plan->own[0]);
    close(parent);
    return tree;
}

static void attach_directories(const struct plan *plan, const struct ahead *ahead, const struct opened *opened, int first) {
    must(mkdirat(ahead->tree, plan->own[0].path, 0755), plan->own[0].path);
    set_attributes(ahead->tree, MOUNT_ATTR_RDONLY, 0);
    attach_in_root(ahead->tree, plan->parent);
    for (size_t index = 0; index < plan->own_count; index++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", plan->parent, plan->own[index].path);
        attach_in_root(index == 0 ? first : opened->trees[index], path);
    }
}

static int clone_cgroup(int shown, const char *path) {
    int mount = clone_mount(shown, path);
    set_attributes(mount, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, MS_PRIVATE);
    return mount;
}

// Hides the other tasks' cgroups: see Sources/Executor/OwnCgroup.swift, also for the order.
static void attach_cgroup(const struct plan *plan, const struct ahead *ahead) {
    int shown = (int)must(open_path(AT_FDCWD, plan->cgroups, O_PATH, RESOLVE_NO_SYMLINKS), plan->cgroups);
    char first[4096];
    snprintf(first, sizeof first, "%s", plan->own_cgroup);
    char *rest = strchr(first, '/');
    must(rest ? 0 : -1, plan->own_cgroup);
    *rest++ = 0;
    for (char *slash = rest; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        must(mkdirat(ahead->cgroup, rest, 0755), rest);
    }
    must(mkdirat(ahead->cgroup, rest, 0755), rest);
    set_attributes(ahead->cgroup, MOUNT_ATTR_RDONLY, 0);
    int own = clone_cgroup(shown, plan->own_cgroup);
    attach(own, AT_FDCWD, "/proc");
    int whole = clone_cgroup(shown, "");
    attach(whole, shown, "");
    attach(ahead->cgroup, whole, first);
    attach(own, ahead->cgroup, rest);
    close(shown);
}

void complete_root(const struct plan *plan, const struct ahead *ahead, const struct opened *opened) {
    enter(ahead->template);
    int first = clone_first_directory(plan);
    enter(ahead->root);
    attach_directories(plan, ahead, opened, first);
    attach_cgroup(plan, ahead);
}
