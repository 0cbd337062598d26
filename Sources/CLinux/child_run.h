// What the child does between its birth (clone.c) and execve(2) (child.c).
#ifndef CHILD_RUN_H
#define CHILD_RUN_H

/// Walks the steps of a `struct exec2_plan` and executes its program; does not return. Runs on the parent's memory: raw
/// system calls only.
void exec2_run_child(void *plan);

#endif
