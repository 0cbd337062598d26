// What commands in running tasks need of the kernel: other processes' descriptors and namespaces, and
// terminals. Each returns what libc does, with errno set.
#ifndef SESSIONS_H
#define SESSIONS_H

#include <stddef.h>
#include <stdint.h>

/// pidfd_getfd(2): no libc wrapper. A copy of another process's descriptor, close-on-exec.
int exec2_pidfd_getfd(int pidfd, int descriptor);

/// setns(2): behind _GNU_SOURCE.
int exec2_setns(int descriptor, uint64_t namespaces);

/// Makes an open file non-blocking (fcntl(2) is variadic).
int exec2_set_nonblocking(int descriptor);

/// Whether the descriptor is on a file system of /proc (fstatfs(2) and its magic number): 1, 0 or -1.
int exec2_is_proc(int descriptor);

/// The same for a tmpfs, or a devtmpfs.
int exec2_is_in_memory(int descriptor);

/// Two connected sockets (unix(7)) that keep the boundaries of messages, closed on exec. C because Swift imports the types
/// of sockets as an enumeration.
int exec2_socketpair(int ends[2]);

#define EXEC2_SENT_DESCRIPTORS 8

/// Sends a message with copies of open descriptors, EXEC2_SENT_DESCRIPTORS at most (SCM_RIGHTS). C because cmsg(3) is
/// macros. 0, or -1.
int exec2_send(int socket, const void *bytes, size_t size, const int *numbers, size_t count);

/// Waits for such a message. Its descriptors get the lowest free numbers, in the order in which they were sent. If these
/// are not `first`, `first` + 1 and so on, it fails with EBADMSG, and the descriptors stay open: the caller is to exit.
/// Returns the number of bytes; 0 once the other end is closed.
int exec2_receive(int socket, void *bytes, size_t size, int first);

/// Sends a byte, which says that a message is waited for: 0, or -1 with ENOTSOCK for a descriptor that is no socket.
int exec2_tell(int socket);

/// Whether such a byte has come: 1, 0 or -1. Waits for nothing.
int exec2_is_told(int socket);

/// A new pseudoterminal (pty(7)): the side of the program that holds it in [0], non-blocking, and that of
/// the session in [1]. C because ioctl(2) is variadic.
/// directory: of a devpts file system; -1: the host's.
int exec2_terminal(int sides[2], int directory);

/// Sets a terminal's size, which tells the foreground process group (ioctl_tty(2), TIOCSWINSZ), and reads it.
int exec2_terminal_resize(int descriptor, uint16_t rows, uint16_t columns);
int exec2_terminal_size(int descriptor, uint16_t *rows, uint16_t *columns);

/// The number of unread bytes in a pipe (ioctl_tty(2), FIONREAD), by a descriptor of either end; 0 if it is not known.
int exec2_unread(int pipe);

#endif
