// A module of name services (nss(5)) for tests, "exec2test" in nsswitch.conf: knows the users whose names begin with
// "slow-" or "slowgroups-", and answers no question about them, as a directory server that is dead does, until the FIFO
// "gate" has a writer. What it is asked is noted first, a line each, in the file "asked"; both are in the directory that
// EXEC2_NAMES names. Of "slow-" users it is the account that hangs, of "slowgroups-" users the list of groups.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ID = 81234 };

static int begins(const char *text, const char *beginning) { return strncmp(text, beginning, strlen(beginning)) == 0; }

static void wait_for_gate(const char *name) {
    const char *directory = getenv("EXEC2_NAMES");
    char path[PATH_MAX], line[256];
    if (!directory) return;
    snprintf(path, sizeof path, "%s/asked", directory);
    int asked = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof line, "%s\n", name);
    if (asked >= 0) {
        if (write(asked, line, length) != length) abort();
        close(asked);
    }
    snprintf(path, sizeof path, "%s/gate", directory);
    int gate;
    do gate = open(path, O_RDONLY | O_CLOEXEC);
    while (gate < 0 && errno == EINTR);
    if (gate >= 0) close(gate);
}

enum nss_status _nss_exec2test_getpwnam_r(
    const char *name, struct passwd *user, char *buffer, size_t size, int *error) {
    if (!begins(name, "slow-") && !begins(name, "slowgroups-")) return NSS_STATUS_NOTFOUND;
    size_t length = strlen(name) + 1;
    if (size < length + 1) {
        *error = ERANGE;
        return NSS_STATUS_TRYAGAIN;
    }
    if (begins(name, "slow-")) wait_for_gate(name);
    memcpy(buffer, name, length);
    buffer[length] = 0;
    *user = (struct passwd){
        .pw_name = buffer, .pw_uid = ID, .pw_gid = ID, .pw_dir = buffer + length, .pw_gecos = buffer + length,
        .pw_shell = buffer + length, .pw_passwd = buffer + length};
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_exec2test_initgroups_dyn(
    const char *name, gid_t group, long *start, long *size, gid_t **groups, long limit, int *error) {
    (void)group, (void)start, (void)size, (void)groups, (void)limit, (void)error;
    if (begins(name, "slowgroups-")) wait_for_gate(name);
    return NSS_STATUS_NOTFOUND;
}
