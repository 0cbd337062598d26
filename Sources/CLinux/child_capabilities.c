#define _GNU_SOURCE
#include "child_capabilities.h"
#include "raw_calls.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>

long exec2_child_cut_bounding_set(uint64_t keep) {
    for (unsigned capability = 0; capability < 64; capability++) {
        if (keep >> capability & 1) continue;
        long result = CALL2(SYS_prctl, PR_CAPBSET_DROP, capability);
        if (result == -EINVAL) return 0;
        if (result < 0) return result;
    }
    return 0;
}

long exec2_child_set_capabilities(uint64_t mask) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return CALL2(SYS_capset, &header, data);
}

long exec2_child_raise_ambient(uint64_t mask) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    long result = CALL2(SYS_capget, &header, data);
    if (result < 0) return result;
    data[0].inheritable |= (uint32_t)mask;
    data[1].inheritable |= (uint32_t)(mask >> 32);
    result = CALL2(SYS_capset, &header, data);
    if (result < 0) return result;
    for (unsigned capability = 0; capability < 64; capability++) {
        if (!(mask >> capability & 1)) continue;
        result = CALL5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
        if (result < 0) return result;
    }
    return 0;
}
