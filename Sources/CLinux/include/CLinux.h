// Linux calls that Swift cannot express, and the libc headers that both twins of Shared see.
//
// Embedded Swift has no Glibc module, so libc comes in through this header for the Driver and the
// Executor alike. _GNU_SOURCE must not be defined here (the Swift importer would then see other
// declarations than gRPC's headers do); what it would have unlocked is offered below by name.
#ifndef CLINUX_H
#define CLINUX_H

#include <features.h>
#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "allocation.h"
#include "audit.h"
#include "child.h"
#include "landlock_abi.h"
#include "mounts.h"
#include "options.h"
#include "roots.h"
#include "sessions.h"
#include "system_calls.h"
#include "tracing.h"

#endif
