// What has to happen before main: see streams.c. There is nothing to call.
#ifndef CSTARTUP_H
#define CSTARTUP_H
#endif
