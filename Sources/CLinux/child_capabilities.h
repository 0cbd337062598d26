// The steps of the child (child.h) that change its sets of capabilities (capabilities(7)). Raw system calls only; each
// returns 0 or -errno, and takes a mask of 1 << CAP_*.
#ifndef CHILD_CAPABILITIES_H
#define CHILD_CAPABILITIES_H

#include <stdint.h>

/// EXEC2_STEP_BOUNDING_SET: drops from the bounding set every capability that the mask lacks, up to the last the kernel
/// knows (which answers EINVAL beyond it).
long exec2_child_cut_bounding_set(uint64_t keep);

/// EXEC2_STEP_CAPABILITIES: makes the mask the permitted and the effective set.
long exec2_child_set_capabilities(uint64_t mask);

/// EXEC2_STEP_AMBIENT: makes the capabilities of the mask, which must be permitted, inheritable and ambient.
long exec2_child_raise_ambient(uint64_t mask);

#endif
