// The benchmark's contender "the same confinement, bare": what the kernel takes for a task of this driver, without the
// driver. It does every step of a launch as the Executor does it, and nothing else: there is no gRPC, no supervisor, and
// no record. What a standby Executor has ready before its request is ready here too (bare_root.c); then come the rest of
// the root, the task's own rules, and the steps of the child (bare_child.c). bare.py derives the plan from a launch
// request of the driver and checks that both tasks are confined alike.
//
// Requests come on stdin as for spawn.c: a letter, the number of arguments and each argument's length, all of 32 bits,
// and the arguments, KEY=VALUE each.
//
//   t   makes everything ready for a task. The answer on stdout is one byte, once it is. At the next byte on stdin the
//       task is launched. When it has ended, four numbers of 64 bits follow: when that byte was read, when wait(2) told
//       of the end (CLOCK_MONOTONIC in nanoseconds), the processor time of all processes in nanoseconds, and the task's
//       wait status.
//   c   the same with a command in a running task, which gets /dev/null instead of logs
#define _GNU_SOURCE
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUESTS = 20, ANSWERS = 21 }; // descriptors; 0, 1 and 2 are the task's

// Written by the process that launches the task, for the one that answers.
struct outcome {
    uint64_t requested, ended;
    int64_t status;
};

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

long must(long result, const char *what) {
    if (result >= 0) return result;
    dprintf(STDERR_FILENO, "bare: %s: %s\n", what, strerror(errno));
    _exit(125);
}

int open_path(int directory, const char *path, int flags, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

// False at the end.
static int read_all(void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = must(read(REQUESTS, (char *)bytes + done, count - done), "read a request");
        if (got == 0) return 0;
        done += (size_t)got;
    }
    return 1;
}

static void *allocate(size_t size) {
    void *memory = calloc(size, 1);
    must(memory ? 0 : -1, "allocate memory");
    return memory;
}

static struct cgroup_write parse_write(int optional, char *value) {
    char *equals = strchr(value, '=');
    if (!equals) exit(125);
    *equals = 0;
    return (struct cgroup_write){optional, value, equals + 1};
}

// A value "a:b:path" of a rule.
static struct rule parse_rule(enum rule_time time, const char *value) {
    struct rule rule = {.time = time};
    char *rest;
    rule.directory_rights = strtoull(value, &rest, 16);
    rule.file_rights = strtoull(rest + 1, &rest, 16);
    rule.path = rest + 1;
    return rule;
}

#define APPEND(list, count, value)                                                                                     \
    do {                                                                                                               \
        if ((count) == MAXIMUM_ENTRIES) must((errno = E2BIG, -1), key);                                                \
        (list)[(count)++] = (value);                                                                                   \
    } while (0)

static const char **text_field(struct plan *plan, const char *key) {
    const struct {
        const char *key, **field;
    } fields[] = {
        {"program", &plan->program},         {"work_dir", &plan->work_dir},       {"log_root", &plan->log_root},
        {"stdout", &plan->stdout_path},      {"stderr", &plan->stderr_path},      {"template", &plan->template},
        {"directories", &plan->directories}, {"parent", &plan->parent},           {"shm_size", &plan->shm_size},
        {"cgroup", &plan->cgroup},           {"cgroups", &plan->cgroups},         {"own_cgroup", &plan->own_cgroup},
    };
    for (size_t index = 0; index < sizeof fields / sizeof fields[0]; index++)
        if (strcmp(key, fields[index].key) == 0) return fields[index].field;
    return NULL;
}

static void set(struct plan *plan, const char *key, char *value, size_t length) {
    static const char *const times[] = {"rule_ahead", "rule_stream", "rule_late", "rule_by_names"};
    const char **text = text_field(plan, key);
    if (text) *text = value;
    else if (strcmp(key, "argument") == 0) APPEND(plan->arguments, plan->argument_count, value);
    else if (strcmp(key, "environment") == 0) APPEND(plan->environment, plan->environment_count, value);
    else if (strcmp(key, "masked") == 0) APPEND(plan->masked, plan->masked_count, value);
    else if (strcmp(key, "directory") == 0) APPEND(plan->own, plan->own_count, ((struct directory){0, value}));
    else if (strcmp(key, "read_only") == 0) APPEND(plan->own, plan->own_count, ((struct directory){1, value}));
    else if (strcmp(key, "cgroup_write") == 0) APPEND(plan->writes, plan->write_count, parse_write(0, value));
    else if (strcmp(key, "cgroup_write_optional") == 0) APPEND(plan->writes, plan->write_count, parse_write(1, value));
    else if (strcmp(key, "user") == 0) plan->user = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "group") == 0) plan->group = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "handled") == 0) plan->handled = strtoull(value, NULL, 16);
    else if (strcmp(key, "scoped") == 0) plan->scoped = strtoull(value, NULL, 16);
    else if (strcmp(key, "task") == 0) plan->task = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "init") == 0) plan->init = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "ruleset") == 0) plan->ruleset = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "filter") == 0) plan->filter = value, plan->filter_bytes = length;
    else {
        for (int time = RULE_AHEAD; time <= RULE_BY_NAMES; time++) {
            if (strcmp(key, times[time]) != 0) continue;
            APPEND(plan->rules, plan->rule_count, parse_rule((enum rule_time)time, value));
            return;
        }
        must((errno = EINVAL, -1), key);
    }
}

// The arguments stay allocated: the plan refers to them, and this process makes a new one for each task.
static struct plan *read_plan(void) {
    struct plan *plan = allocate(sizeof *plan);
    uint32_t count, length;
    if (!read_all(&count, sizeof count)) exit(125);
    for (uint32_t index = 0; index < count; index++) {
        if (!read_all(&length, sizeof length) || length > 1 << 20) exit(125);
        char *key = allocate(length + 1);
        if (!read_all(key, length)) exit(125);
        char *equals = strchr(key, '=');
        if (!equals) exit(125);
        *equals = 0;
        set(plan, key, equals + 1, length - (size_t)(equals + 1 - key));
    }
    return plan;
}

// Tells that everything is ready, and waits for the request.
static void await_request(struct outcome *outcome) {
    char byte = 'r';
    must(write(ANSWERS, &byte, 1), "write");
    if (!read_all(&byte, 1)) _exit(0);
    outcome->requested = now();
}

static void await_end(int task, struct outcome *outcome) {
    int status;
    must(waitpid(task, &status, 0), "waitpid");
    outcome->ended = now();
    outcome->status = status;
}

// By PID 1 of the task's PID namespace, as the Executor is.
static void run_task(const struct plan *plan, struct outcome *outcome) {
    struct ahead ahead = make_ahead(plan);
    await_request(outcome);
    struct opened opened = open_on_host(plan);
    complete_root(plan, &ahead, &opened);
    const int streams[] = {STDIN_FILENO, opened.out, opened.error};
    for (size_t index = 0; index < plan->rule_count; index++) {
        const struct rule *rule = &plan->rules[index];
        if (rule->time != RULE_STREAM) continue;
        must(add_rule(ahead.ruleset, rule, streams[rule->path[0] - '0']), "add a stream's rule");
    }
    await_end(spawn_task(plan, &ahead, &opened), outcome);
}

static void run_command(const struct plan *plan, struct outcome *outcome) {
    int null = (int)must(open("/dev/null", O_RDWR | O_CLOEXEC), "open /dev/null");
    await_request(outcome);
    must(dup2(null, STDIN_FILENO), "dup2");
    int init = (int)must(syscall(SYS_pidfd_open, plan->init, 0), "pidfd_open");
    struct ahead ahead = {
        .host_proc = (int)must(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), "open /proc"),
        .ruleset = (int)must(syscall(SYS_pidfd_getfd, init, plan->ruleset, 0), "pidfd_getfd"),
    };
    struct opened opened = {.out = null, .error = null, .cgroup = open_cgroup(plan)};
    opened.task = (int)must(syscall(SYS_pidfd_open, plan->task, 0), "pidfd_open");
    must(setns(opened.task, CLONE_NEWPID), "setns");
    await_end(spawn_task(plan, &ahead, &opened), outcome);
}

static uint64_t processor_time(int who) {
    struct rusage usage;
    must(getrusage(who, &usage), "getrusage");
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000
           + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void perform(char kind, struct outcome *outcome) {
    struct plan *plan = read_plan();
    outcome->status = -1;
    uint64_t before = processor_time(RUSAGE_SELF) + processor_time(RUSAGE_CHILDREN);
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } arguments = {.flags = kind == 't' ? CLONE_NEWPID | CLONE_NEWIPC : 0, .exit_signal = SIGCHLD};
    long launcher = must(syscall(SYS_clone3, &arguments, sizeof arguments), "clone3");
    if (launcher == 0) {
        if (kind == 't') run_task(plan, outcome);
        else run_command(plan, outcome);
        _exit(0);
    }
    must(waitpid((pid_t)launcher, NULL, 0), "waitpid");
    uint64_t spent = processor_time(RUSAGE_SELF) + processor_time(RUSAGE_CHILDREN) - before;
    uint64_t answer[] = {outcome->requested, outcome->ended, spent, (uint64_t)outcome->status};
    must(write(ANSWERS, answer, sizeof answer), "write");
}

// The task's stdin is /dev/null, through a read-only mount so that the task cannot change its mode (bare_root.c).
int main(void) {
    // Ignored signals outlive execve(2), and who started this may ignore some.
    // By the system call: the C library refuses 32 and 33, which are its own. Of the kernel's structure 0 is the default.
    const unsigned long action[4] = {0};
    for (int number = 1; number <= 64; number++) syscall(SYS_rt_sigaction, number, action, NULL, sizeof action[0]);
    must(dup3(STDIN_FILENO, REQUESTS, O_CLOEXEC), "dup3");
    must(dup3(STDOUT_FILENO, ANSWERS, O_CLOEXEC), "dup3");
    struct outcome *outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(outcome == MAP_FAILED ? -1 : 0, "mmap");
    char kind;
    while (read_all(&kind, 1)) perform(kind, outcome);
    return 0;
}
