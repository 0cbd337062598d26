// The step of the child (child.h) that adds a rule to its Landlock ruleset. Raw system calls only.
#ifndef CHILD_UNVEIL_H
#define CHILD_UNVEIL_H

#include "child.h"

/// EXEC2_STEP_UNVEIL: opens the path as the step says and adds its rule. 0, -errno, or errno where the rule is
/// left out and that is to be noted.
long exec2_child_unveil(const struct exec2_step *step);

#endif
