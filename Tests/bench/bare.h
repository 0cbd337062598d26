// The contender "the same confinement, bare": what its three files share. See bare.c.
#ifndef BARE_H
#define BARE_H

#include <stddef.h>
#include <stdint.h>

enum rule_time {
    RULE_AHEAD,    // for what every task has: added before the request
    RULE_STREAM,   // for stdin, stdout or stderr, whose number is the path
    RULE_LATE,     // for what only this task has
    RULE_BY_NAMES, // the same, where no symlink may be among the last two parts of the path
};

struct rule {
    enum rule_time time;
    uint64_t directory_rights, file_rights; // LANDLOCK_ACCESS_FS_*
    const char *path;
};

// A directory of the task's: below `directories` on the host, and at the same path below `parent` in its root.
struct directory {
    int read_only;
    const char *path;
};

// A file of the task's cgroup.
struct cgroup_write {
    int optional;
    const char *file, *value;
};

#define MAXIMUM_ENTRIES 1024

// One launch, as the driver's own launch request describes it.
struct plan {
    const char *program;
    char *arguments[MAXIMUM_ENTRIES + 1], *environment[MAXIMUM_ENTRIES + 1];
    const char *work_dir, *log_root, *stdout_path, *stderr_path; // the logs are below log_root
    uint32_t user, group;
    const char *template;    // the mount namespace that is the template of all tasks' roots
    const char *directories; // on the host
    const char *parent;      // in the task's root
    struct directory own[MAXIMUM_ENTRIES];
    const char *shm_size;
    const char *masked[MAXIMUM_ENTRIES]; // below /proc
    const char *cgroup;                  // on the host
    const char *cgroups, *own_cgroup;    // where the task's root shows cgroup v2, and the task's own below that
    uint64_t handled, scoped;            // of the Landlock ruleset
    struct rule rules[MAXIMUM_ENTRIES];
    struct cgroup_write writes[MAXIMUM_ENTRIES];
    const void *filter; // struct sock_filter
    size_t filter_bytes;
    size_t argument_count, environment_count, own_count, masked_count, rule_count, write_count;
    // A command in a running task instead: that task, PID 1 of its PID namespace, and the ruleset's descriptor there.
    int task, init, ruleset;
};

// What is ready before the request.
struct ahead {
    int host_proc;      // /proc of the host
    int host_namespace; // the mount namespace that bare was started in
    int template;       // the template's mount namespace
    int root;           // a copy of it, in which the task will be
    int ruleset;
    int tree, cgroup; // detached mounts of empty directories of the task's own
};

// What is opened on the host, at the request.
struct opened {
    int out, error; // the logs, for the task
    int cgroup;     // of the task
    int task;       // a pidfd of the running task, for a command in it; else -1
    int trees[MAXIMUM_ENTRIES];
};

// bare.c
uint64_t now(void);
long must(long result, const char *what);
int open_path(int directory, const char *path, int flags, uint64_t resolve);

// bare_root.c
int open_cgroup(const struct plan *plan);
struct ahead make_ahead(const struct plan *plan);
struct opened open_on_host(const struct plan *plan);
void complete_root(const struct plan *plan, const struct ahead *ahead, const struct opened *opened);

// bare_child.c
int add_rule(int ruleset, const struct rule *rule, int descriptor);
int spawn_task(const struct plan *plan, const struct ahead *ahead, const struct opened *opened);

#endif
