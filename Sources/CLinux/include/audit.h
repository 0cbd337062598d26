// The kernel's audit log, which can be read beside a daemon (netlink(7), NETLINK_AUDIT). C because Glibc's module has
// none of netlink's structs and macros.
#ifndef AUDIT_H
#define AUDIT_H

#include <stdint.h>

/// Types of records (linux/audit.h; libc's headers are older than these).
enum exec2_audit_record { EXEC2_AUDIT_LANDLOCK_ACCESS = 1423, EXEC2_AUDIT_LANDLOCK_DOMAIN = 1424 };

/// A socket in the multicast group of the log's readers, close-on-exec and non-blocking: each recv(2) gives one record.
/// Needs CAP_AUDIT_READ, and the host's network namespace for records to come. -1 with errno set.
int exec2_audit_open(void);

/// The type of a received record, whose text is `*offset` bytes into the message and `*length` bytes long; 0 where the
/// bytes are no record.
uint32_t exec2_audit_type(const void *message, uint64_t size, uint32_t *offset, uint32_t *length);

/// Receives one record from the kernel. 0: none is there. -1 with errno set; ENOBUFS: some were lost.
int64_t exec2_audit_receive(int socket, void *buffer, uint64_t size);

/// Whether the kernel logs at all (auditctl -s, "enabled"): 1 or 0; -1 with errno set: needs CAP_AUDIT_CONTROL. Waits a
/// second for the answer.
int exec2_audit_enabled(void);

#endif
