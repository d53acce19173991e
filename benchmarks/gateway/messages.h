/* What the fake upstream answers and what the load generator expects: one text, so that every byte can be checked.
 *
 * Bytes that differ from answer to answer (ids, clocks) stand at known places; here they are ANY. The upstream
 * writes digits over them, the load generator lets any digit pass. Everything is built once, when a program starts
 * or when the number of deltas changes.
 */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANY '\x01'
#define ID "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
/* CLOCK_MONOTONIC in nanoseconds when the event was sent, with zeros in front. */
#define CLOCK_DIGITS 17
#define CLOCK "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
/* Before the clock in the text of a delta; it occurs nowhere else. */
#define CLOCK_MARK '@'

#define MAX_DELTAS 1000

static const char JSON_ANSWER[] =
    "{\"id\":\"msg_" ID "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-6\","
    "\"content\":[{\"type\":\"text\",\"text\":\"The valve opens at 3.2 bar and closes again at 2.9 bar, so the "
    "pressure in the line swings by 0.3 bar around its set point. That is within what the data sheet allows; "
    "no change is needed before the next inspection.\"}],"
    "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":162,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
    "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},"
    "\"output_tokens\":54,\"service_tier\":\"standard\"}}";

/* Sent at once when the latency is over. */
static const char STREAM_BEGIN[] =
    "event: message_start\n"
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_" ID "\",\"type\":\"message\",\"role\":\"assistant\","
    "\"model\":\"claude-sonnet-4-6\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":162,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
    "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},"
    "\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n"
    "event: content_block_start\n"
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
    "event: ping\n"
    "data: {\"type\":\"ping\"}\n\n";

/* Sent once for each delta, a gap apart. */
static const char STREAM_DELTA[] =
    "event: content_block_delta\n"
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
    "\"text\":\" the @" CLOCK " valve\"}}\n\n";

/* Sent together after the last delta; %d is how many tokens that came to. */
static const char STREAM_END[] =
    "event: content_block_stop\n"
    "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: message_delta\n"
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
    "\"usage\":{\"output_tokens\":%d}}\n\n"
    "event: message_stop\n"
    "data: {\"type\":\"message_stop\"}\n\n";

static inline int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* Tokens that the usage of a stream reports at its end. */
static inline int tokens_of(int deltas) { return 3 * deltas + 2; }

/* Write `number` in decimal over a run of `digits` bytes, zeros in front. */
static inline void put_digits(char *at, int digits, uint64_t number) {
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* Where the first run of ANY begins; -1 if there is none. */
static inline long first_any(const char *text, size_t size) {
    const char *found = memchr(text, ANY, size);
    return found ? found - text : -1;
}

/* Whether `got` is the text that was expected, with any digit where it says ANY. */
static inline int same(const char *expected, const char *got, size_t size) {
    size_t i = 0;
    while (i < size) {
        if (expected[i] == got[i])
            i++;
        else if (expected[i] == ANY && got[i] >= '0' && got[i] <= '9')
            i++;
        else
            return 0;
    }
    return 1;
}

/* The whole content of a stream with so many deltas; the caller frees it. */
static inline char *whole_stream(int deltas, size_t *size) {
    size_t room = sizeof STREAM_BEGIN + (size_t)deltas * sizeof STREAM_DELTA + sizeof STREAM_END + 16;
    char *text = malloc(room);
    if (!text) {
        perror("malloc");
        exit(1);
    }
    size_t used = sizeof STREAM_BEGIN - 1;
    memcpy(text, STREAM_BEGIN, used);
    for (int i = 0; i < deltas; i++) {
        memcpy(text + used, STREAM_DELTA, sizeof STREAM_DELTA - 1);
        used += sizeof STREAM_DELTA - 1;
    }
    used += (size_t)snprintf(text + used, room - used, STREAM_END, tokens_of(deltas));
    *size = used;
    return text;
}

#endif
