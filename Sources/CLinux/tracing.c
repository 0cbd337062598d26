#define _GNU_SOURCE
#include "tracing.h"
#include "sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Without PTRACE_O_EXITKILL: whatever ends the tracer, what it has traced runs on.
enum {
    clones = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK,
    all = clones | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC,
};

int exec2_trace_seize(pid_t thread, int launcher) {
    return (int)ptrace(PTRACE_SEIZE, thread, 0L, (long)(launcher ? clones | PTRACE_O_TRACEEXIT : all));
}

int exec2_trace_adopt(pid_t thread) { return (int)ptrace(PTRACE_SETOPTIONS, thread, 0L, (long)all); }

int exec2_trace_interrupt(pid_t thread) { return (int)ptrace(PTRACE_INTERRUPT, thread, 0L, 0L); }

int exec2_trace_resume(pid_t thread, int signal) { return (int)ptrace(PTRACE_SYSCALL, thread, 0L, (long)signal); }

int exec2_trace_continue(pid_t thread, int signal) { return (int)ptrace(PTRACE_CONT, thread, 0L, (long)signal); }

int exec2_trace_listen(pid_t thread) { return (int)ptrace(PTRACE_LISTEN, thread, 0L, 0L); }

int exec2_trace_detach(pid_t thread, int signal) { return (int)ptrace(PTRACE_DETACH, thread, 0L, (long)signal); }

static void describe(struct exec2_stop *stop, int status) {
    stop->other = 0;
    stop->signal = 0;
    if (!WIFSTOPPED(status)) {
        stop->kind = EXEC2_STOP_ENDED;
        return;
    }
    int signal = WSTOPSIG(status);
    unsigned long message = 0;
    switch ((unsigned)status >> 16) {
    case 0:
        stop->kind = signal == (SIGTRAP | 0x80) ? EXEC2_STOP_CALL : EXEC2_STOP_SIGNAL;
        stop->signal = signal;
        return;
    case PTRACE_EVENT_STOP: stop->kind = signal == SIGTRAP ? EXEC2_STOP_BEGIN : EXEC2_STOP_GROUP; return;
    case PTRACE_EVENT_EXIT: stop->kind = EXEC2_STOP_EXIT; return;
    case PTRACE_EVENT_EXEC: stop->kind = EXEC2_STOP_EXEC; break;
    default: stop->kind = EXEC2_STOP_CLONE;
    }
    if (ptrace(PTRACE_GETEVENTMSG, stop->thread, 0L, &message) == 0) stop->other = (pid_t)message;
}

int exec2_trace_wait(struct exec2_stop *stop, int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (int turn = 0;; turn++) {
        int status;
        pid_t thread = wait4(-1, &status, __WALL | __WNOTHREAD | WNOHANG, NULL);
        if (thread > 0) {
            stop->thread = thread;
            describe(stop, status);
            return 1;
        }
        if (turn > 0) return 0;
        sigtimedwait(&child, NULL, &time);
    }
}

int exec2_trace_call(pid_t thread, struct exec2_call *call) {
    struct __ptrace_syscall_info info;
    memset(&info, 0, sizeof info);
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) < 0) return -1;
    call->architecture = info.arch;
    call->place = info.op == PTRACE_SYSCALL_INFO_ENTRY ? 1 : info.op == PTRACE_SYSCALL_INFO_EXIT ? 2 : 0;
    if (call->place == 1) {
        call->number = info.entry.nr;
        memcpy(call->arguments, info.entry.args, sizeof call->arguments);
    } else if (call->place == 2) {
        call->result = info.exit.rval;
        call->failed = info.exit.is_error;
    }
    return 0;
}

void exec2_trace_begin_anew(pid_t thread) {
#ifdef __x86_64__
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, 0L, &registers) < 0 || (long)registers.rax != -EINTR) return;
    switch (registers.orig_rax) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case 441: // epoll_pwait2
    case SYS_rt_sigtimedwait:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_io_getevents:
    case 333: // io_pgetevents
        break;
    default: return;
    }
    registers.rax = (unsigned long long)-514; // ERESTARTNOHAND: anew, unless a handler runs
    ptrace(PTRACE_SETREGS, thread, 0L, &registers);
#else
    (void)thread;
#endif
}

ssize_t exec2_read_memory(pid_t thread, uint64_t address, void *buffer, size_t size) {
    struct iovec here = {buffer, size}, there = {(void *)(uintptr_t)address, size};
    return process_vm_readv(thread, &here, 1, &there, 1, 0);
}

ssize_t exec2_read_text(pid_t thread, uint64_t address, void *buffer, size_t size) {
    size_t done = 0;
    while (done < size) {
        // A page at most: the next one need not be there.
        size_t part = 4096 - (address + done) % 4096;
        if (part > size - done) part = size - done;
        ssize_t count = exec2_read_memory(thread, address + done, (char *)buffer + done, part);
        if (count <= 0) return -1;
        const char *end = memchr((char *)buffer + done, 0, (size_t)count);
        if (end) return end - (char *)buffer;
        done += (size_t)count;
    }
    return -1;
}

int exec2_socket_type(int pidfd, int descriptor) {
    int copy = exec2_pidfd_getfd(pidfd, descriptor);
    if (copy < 0) return -1;
    int type = -1;
    socklen_t size = sizeof type;
    if (getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &size) < 0) type = -1;
    close(copy);
    return type;
}

int exec2_block_child_signal(void) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    return sigprocmask(SIG_BLOCK, &child, NULL);
}
