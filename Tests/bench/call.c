// Calls a gRPC server for the benchmarks, and reports when each call was made and answered: like the
// agent's client, it adds little to the measured times.
//
//   call SOCKET
//
// Requests come on stdin, answers go to stdout; numbers have 32 bits unless stated otherwise. A request:
// how many sequences are under way at once, how many sequences there are; of each the number of its calls;
// of each call the lengths of method and message, and both. A sequence makes one call after another, and
// ends early when one fails. To a call whose method ends in Streaming any number of messages may be the
// answer, of which the last counts. The answer has of each call, in the same order: when it was made and when it
// was answered (CLOCK_MONOTONIC in nanoseconds, of 64 bits; 0 where it was not made), the gRPC status, a
// length, and the message or, of a call that failed, the reason.
#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct call {
    char *method, *message;
    uint32_t message_length, status;
    uint64_t sent, received;
    char *answer;
    uint32_t answer_length;
};

struct sequence {
    struct call *calls;
    uint32_t count, next;
    // State of the call in flight. Of a stream, messages are received beside the rest.
    int is_stream, completions;
    grpc_call *handle;
    grpc_byte_buffer *sending, *received, *arrived;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

static grpc_channel *channel;
static grpc_completion_queue *queue;

static void fail(const char *what) {
    fprintf(stderr, "call: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("calloc");
    return memory;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void get(void *bytes, size_t count) {
    if (count && fread(bytes, count, 1, stdin) != 1) exit(125);
}

static uint32_t number(void) {
    uint32_t value;
    get(&value, sizeof value);
    return value;
}

static void put(const void *bytes, size_t count) {
    if (count && fwrite(bytes, count, 1, stdout) != 1) fail("write");
}

static void start(struct sequence *sequence, const grpc_op *operations, size_t count, void *tag) {
    if (grpc_call_start_batch(sequence->handle, operations, count, tag, NULL) == GRPC_CALL_OK) return;
    fprintf(stderr, "call: grpc_call_start_batch refused\n");
    exit(125);
}

// Of a stream. The tag differs from that of the rest in its lowest bit.
static void receive(struct sequence *sequence) {
    grpc_op operation = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &sequence->arrived};
    start(sequence, &operation, 1, (char *)sequence + 1);
}

static void begin(struct sequence *sequence) {
    struct call *call = &sequence->calls[sequence->next];
    grpc_slice method = grpc_slice_from_static_string(call->method);
    grpc_slice message = grpc_slice_from_static_buffer(call->message, call->message_length);
    grpc_metadata_array_init(&sequence->initial);
    grpc_metadata_array_init(&sequence->trailing);
    sequence->sending = grpc_raw_byte_buffer_create(&message, 1);
    sequence->received = NULL;
    call->sent = now();
    sequence->handle = grpc_channel_create_call(
        channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op operations[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE}, {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    operations[1].data.send_message.send_message = sequence->sending;
    operations[3].data.recv_initial_metadata.recv_initial_metadata = &sequence->initial;
    operations[4].data.recv_message.recv_message = &sequence->received;
    operations[5].data.recv_status_on_client.trailing_metadata = &sequence->trailing;
    operations[5].data.recv_status_on_client.status = &sequence->status;
    operations[5].data.recv_status_on_client.status_details = &sequence->details;
    size_t length = strlen(call->method), suffix = sizeof "Streaming" - 1;
    sequence->is_stream = length > suffix && strcmp(call->method + length - suffix, "Streaming") == 0;
    sequence->completions = sequence->is_stream ? 2 : 1;
    if (sequence->is_stream) {
        operations[4] = operations[5];
        receive(sequence);
    }
    start(sequence, operations, sequence->is_stream ? 5 : 6, sequence);
}

// A message of a stream has come. False if it was the last one.
static int goes_on(struct sequence *sequence) {
    if (!sequence->arrived) return 0;
    if (sequence->received) grpc_byte_buffer_destroy(sequence->received);
    sequence->received = sequence->arrived;
    receive(sequence);
    return 1;
}

static void copy(struct call *call, grpc_slice bytes) {
    call->answer_length = (uint32_t)GRPC_SLICE_LENGTH(bytes);
    call->answer = allocate(call->answer_length, 1);
    memcpy(call->answer, GRPC_SLICE_START_PTR(bytes), call->answer_length);
}

static void finish(struct sequence *sequence) {
    struct call *call = &sequence->calls[sequence->next++];
    call->received = now();
    call->status = (uint32_t)sequence->status;
    if (sequence->status != GRPC_STATUS_OK) {
        copy(call, sequence->details);
        sequence->next = sequence->count;
    } else if (sequence->received) {
        grpc_byte_buffer_reader reader;
        grpc_byte_buffer_reader_init(&reader, sequence->received);
        grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
        copy(call, bytes);
        grpc_slice_unref(bytes);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    if (sequence->received) grpc_byte_buffer_destroy(sequence->received);
    grpc_byte_buffer_destroy(sequence->sending);
    grpc_slice_unref(sequence->details);
    grpc_metadata_array_destroy(&sequence->initial);
    grpc_metadata_array_destroy(&sequence->trailing);
    grpc_call_unref(sequence->handle);
}

static void perform(struct sequence *sequences, uint32_t count, uint32_t window) {
    uint32_t begun = 0, ended = 0;
    for (; begun < count && begun < window; begun++) begin(&sequences[begun]);
    while (ended < count) {
        grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        int is_message = (uintptr_t)event.tag & 1;
        struct sequence *sequence = (void *)((char *)event.tag - is_message);
        if ((is_message && goes_on(sequence)) || --sequence->completions > 0) continue;
        finish(sequence);
        if (sequence->next < sequence->count) {
            begin(sequence);
        } else {
            ended++;
            if (begun < count) begin(&sequences[begun++]);
        }
    }
}

int main(int argument_count, char **arguments) {
    if (argument_count != 2) {
        fprintf(stderr, "usage: call SOCKET\n");
        return 125;
    }
    grpc_init();
    char target[4200];
    snprintf(target, sizeof target, "unix:%s", arguments[1]);
    grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
    channel = grpc_channel_create(target, insecure, NULL);
    queue = grpc_completion_queue_create_for_next(NULL);

    uint32_t window;
    while (fread(&window, sizeof window, 1, stdin) == 1) {
        uint32_t count = number();
        struct sequence *sequences = allocate(count, sizeof *sequences);
        for (uint32_t index = 0; index < count; index++) {
            struct sequence *sequence = &sequences[index];
            sequence->count = number();
            if (sequence->count == 0) exit(125);
            sequence->calls = allocate(sequence->count, sizeof *sequence->calls);
            for (uint32_t other = 0; other < sequence->count; other++) {
                struct call *call = &sequence->calls[other];
                uint32_t length = number();
                call->message_length = number();
                call->method = allocate(length + 1, 1);
                call->message = allocate(call->message_length, 1);
                get(call->method, length);
                get(call->message, call->message_length);
            }
        }
        perform(sequences, count, window ? window : 1);
        for (uint32_t index = 0; index < count; index++) {
            for (uint32_t other = 0; other < sequences[index].count; other++) {
                struct call *call = &sequences[index].calls[other];
                put(&call->sent, sizeof call->sent);
                put(&call->received, sizeof call->received);
                put(&call->status, sizeof call->status);
                put(&call->answer_length, sizeof call->answer_length);
                put(call->answer, call->answer_length);
                free(call->method);
                free(call->message);
                free(call->answer);
            }
            free(sequences[index].calls);
        }
        free(sequences);
        if (fflush(stdout) != 0) fail("write");
    }
    return 0;
}
