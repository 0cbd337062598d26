#include "audit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// Of the receive buffer: some thousand records, which come in bursts.
#define BUFFER_BYTES (1 << 20)

static int open_socket(int flags) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_AUDIT);
    struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof own) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int exec2_audit_open(void) {
    int fd = open_socket(SOCK_NONBLOCK);
    if (fd < 0) return fd;
    int group = AUDIT_NLGRP_READLOG, bytes = BUFFER_BYTES;
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    // Past net.core.rmem_max, which is a quarter of it by default, for those with CAP_NET_ADMIN (socket(7)).
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

int64_t exec2_audit_receive(int fd, void *buffer, uint64_t size) {
    for (;;) {
        struct sockaddr_nl sender = {0};
        socklen_t length = sizeof sender;
        ssize_t count = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&sender, &length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno == EAGAIN ? 0 : -1;
        // Another process may send to this one's port.
        if (count > 0 && sender.nl_pid == 0) return count;
    }
}

uint32_t exec2_audit_type(const void *message, uint64_t size, uint32_t *offset, uint32_t *length) {
    struct nlmsghdr header;
    if (size < sizeof header) return 0;
    memcpy(&header, message, sizeof header);
    // The kernel writes the length of the text alone into messages of the log, with the header's or without.
    *offset = NLMSG_HDRLEN;
    *length = (uint32_t)(size - NLMSG_HDRLEN);
    return header.nlmsg_type;
}

int exec2_audit_enabled(void) {
    int fd = open_socket(0);
    if (fd < 0) return fd;
    struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct nlmsghdr request = {.nlmsg_len = sizeof request, .nlmsg_type = AUDIT_GET, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
    int result = -1, error = EIO;
    if (send(fd, &request, sizeof request, 0) < 0) error = errno;
    else
        for (;;) {
            char buffer[512];
            ssize_t count = recv(fd, buffer, sizeof buffer, 0);
            struct nlmsghdr header;
            if (count < 0) {
                error = errno;
                break;
            }
            if ((size_t)count < sizeof header + 2 * sizeof(uint32_t)) continue;
            memcpy(&header, buffer, sizeof header);
            if (header.nlmsg_type == AUDIT_GET) {
                struct { uint32_t mask, enabled; } status;
                memcpy(&status, buffer + NLMSG_HDRLEN, sizeof status);
                result = status.enabled != 0;
                break;
            }
            int32_t code = 0;
            memcpy(&code, buffer + NLMSG_HDRLEN, sizeof code);
            // An error of 0 is the acknowledgement.
            if (header.nlmsg_type == NLMSG_ERROR && code != 0) {
                error = -code;
                break;
            }
        }
    close(fd);
    errno = error;
    return result;
}
