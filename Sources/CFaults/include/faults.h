// Faults on demand, in a build for tests alone (FAULTS in Package.swift): any call of the Driver's or the
// Executor's own can be made to fail. Nothing of this target is in an ordinary build.
//
// Why C: a linker that diverts calls (--wrap) needs functions by C names, some of them variadic, and the
// child between clone and execve may run nothing else.
#ifndef FAULTS_H
#define FAULTS_H

/// For the raw system calls between clone and execve: 0, or the -errno that the call is to answer.
long exec2_fault_raw(long number);

/// The environment for an execve of `environment`'s: an Executor learns of the faults by it.
long exec2_fault_environment(long environment);

#endif
