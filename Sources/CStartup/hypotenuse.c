#include "CStartup.h"

#include <math.h>

// Why: Swift's static library refers to hypotf in a function that the Driver never calls, and the linker cannot leave
// that function out. From the C library the reference would be to the version of glibc 2.35, while everything else in
// the Driver needs 2.34, which RHEL 9 and Amazon Linux 2023 have.
float hypotf(float x, float y) __attribute__((alias("exec2_hypotf")));

float exec2_hypotf(float x, float y) {
    if (isinf(x) || isinf(y)) return INFINITY;
    // A float's square is exact as a double, and the sum cannot overflow.
    return (float)sqrt((double)x * x + (double)y * y);
}
