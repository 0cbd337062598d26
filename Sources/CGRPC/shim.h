// gRPC's headers define _GNU_SOURCE for themselves: these two come first so that every translation
// unit sees the same libc declarations whether it includes gRPC or not.
#include <features.h>
#include <sys/types.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/status.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>

/* In C because GRPC_SLICE_START_PTR is a macro over a union, and because a short slice holds its
 * bytes inside itself: the pointer is only right for the slice at this address. */
static inline const uint8_t *exec2_slice_bytes(const grpc_slice *slice) {
    return GRPC_SLICE_START_PTR(*slice);
}

/* In C because GRPC_SLICE_LENGTH is a macro over the same union. */
static inline size_t exec2_slice_length(const grpc_slice *slice) {
    return GRPC_SLICE_LENGTH(*slice);
}

/* In C because the byte buffer takes references of the slices in a C array and the slice's own
 * reference has to be given back in the same breath. Copies the bytes once; never answers NULL
 * (gRPC's allocator aborts). */
static inline grpc_byte_buffer *exec2_byte_buffer_from_bytes(const void *bytes, size_t length) {
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, length);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

/* A tag of a queue whose operations' ends gRPC tells by calling a function.
 *
 * In C because gRPC finds the function by the structure's first member, and only C promises where that lies. */
struct exec2_called_tag {
    grpc_completion_queue_functor functor;
    void *tag;
};
