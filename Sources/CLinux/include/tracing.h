// Tracing of a task's processes from outside of its sandbox, by ptrace(2). Every call about a tracee is made by the thread
// that has seized it. C because ptrace(2) is variadic, W* are macros, and the structures are behind _GNU_SOURCE. Each
// returns what the call does, with errno set.
#ifndef TRACING_H
#define TRACING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Begins to trace a thread without stopping it (PTRACE_SEIZE). What it clones from then on is traced too.
/// launcher: told of its clone and of its end alone; its system calls are not stopped for.
int exec2_trace_seize(pid_t thread, int launcher);

/// The options of any other thread for the first one that a launcher has cloned, at its first stop (PTRACE_SETOPTIONS).
int exec2_trace_adopt(pid_t thread);

/// Stops a thread, which then tells of EXEC2_STOP_BEGIN (PTRACE_INTERRUPT).
int exec2_trace_interrupt(pid_t thread);

/// Lets a stopped thread run to its next system call, with a signal or 0 (PTRACE_SYSCALL).
int exec2_trace_resume(pid_t thread, int signal);

/// Lets a stopped thread run without stops at system calls (PTRACE_CONT).
int exec2_trace_continue(pid_t thread, int signal);

/// Leaves a thread stopped as its process is, until SIGCONT (PTRACE_LISTEN).
int exec2_trace_listen(pid_t thread);

/// Lets go of a stopped thread (PTRACE_DETACH).
int exec2_trace_detach(pid_t thread, int signal);

enum exec2_stop_kind {
    EXEC2_STOP_ENDED,  // the thread is gone
    EXEC2_STOP_CALL,   // before or behind a system call
    EXEC2_STOP_SIGNAL, // a signal is about to be delivered: `signal`
    EXEC2_STOP_GROUP,  // its process is stopped by a signal
    EXEC2_STOP_BEGIN,  // after exec2_trace_interrupt, SIGCONT, or as a new thread
    EXEC2_STOP_CLONE,  // it has cloned a thread or a process: `other`
    EXEC2_STOP_EXEC,   // execve has succeeded; it was called by the thread `other`
    EXEC2_STOP_EXIT,   // it is about to end (of a launcher alone)
};

struct exec2_stop {
    enum exec2_stop_kind kind;
    pid_t thread;
    pid_t other;
    int signal;
};

/// The next stop of a thread that the calling thread traces (wait4(2), __WALL | __WNOTHREAD): 1, or 0 after so many
/// milliseconds without one. SIGCHLD must be blocked in every thread.
int exec2_trace_wait(struct exec2_stop *stop, int milliseconds);

/// A system call at which a thread is stopped (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
struct exec2_call {
    int place; // 0: at none, 1: before it, 2: behind it
    uint32_t architecture;
    uint64_t number, arguments[6]; // before it
    int64_t result;                // behind it
    int failed;
};
int exec2_trace_call(pid_t thread, struct exec2_call *call);

/// Has a system call begun anew, unless a handler runs, that was ended with EINTR by exec2_trace_interrupt or by a signal that
/// its process ignores, and that the kernel would not begin anew by itself: epoll_wait(2) and others of signal(7) that change
/// nothing before they wait. To be called at EXEC2_STOP_BEGIN and EXEC2_STOP_SIGNAL. Only on x86_64: on arm64 the kernel has
/// decided by then.
void exec2_trace_begin_anew(pid_t thread);

/// Bytes of another process's memory (process_vm_readv(2)): how many could be read, or -1.
ssize_t exec2_read_memory(pid_t thread, uint64_t address, void *buffer, size_t size);

/// A NUL-terminated text there: its length, or -1 where it is none, or longer than `size` bytes.
ssize_t exec2_read_text(pid_t thread, uint64_t address, void *buffer, size_t size);

/// The kind of a socket of another process, by its pidfd: SOCK_STREAM or SOCK_DGRAM …, or -1 (getsockopt(2), SO_TYPE).
int exec2_socket_type(int pidfd, int descriptor);

/// Blocks SIGCHLD, on the first thread, before others exist (sigprocmask(2): sets are macros).
int exec2_block_child_signal(void);

#endif
