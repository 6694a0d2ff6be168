/* What the benchmark needs to measure without Python in between. */
#ifndef MATCHER_METER_H
#define MATCHER_METER_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "table.h"

#define METER_LINE_BYTES 64
#define METER_WIDTH_MAX 512

/* Nothing after it starts before all before it is done: else one measured step overlaps the next. */
#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#define SERIALISE() _mm_lfence()
#elif defined(__aarch64__)
#define SERIALISE() __asm__ volatile("dsb sy\n\tisb" ::: "memory")
#else
#define SERIALISE() __sync_synchronize()
#endif

static inline double meter_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What reading the clock adds to a step that is measured on its own. */
static double meter_clock_ns(void) {
    double least = 1e9;
    for (int i = 0; i < 1000; i++) {
        const double start = meter_now_ns(), took = meter_now_ns() - start;
        if (took < least) least = took;
    }
    return least;
}

static inline uint64_t meter_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

/* The start of a random line of the region. */
static inline size_t meter_line(uint64_t random, size_t lines) {
    return (size_t)(((random >> 32) * lines) >> 32) * METER_LINE_BYTES;
}

/* Nanoseconds for one random read that has to wait for the one before. */
static double meter_random_read_ns(const uint8_t *region, size_t bytes, long reads, uint64_t seed) {
    const size_t lines = bytes / METER_LINE_BYTES;
    uint64_t state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15), word = 0;
    const double start = meter_now_ns();
    for (long i = 0; i < reads; i++) {
        state ^= word & 1;
        memcpy(&word, region + meter_line(meter_random(&state), lines), sizeof word);
    }
    const double took = meter_now_ns() - start;
    return (took + (word == 1 ? 1e-9 : 0)) / (double)reads;
}

/* Nanoseconds for `width` random reads at once; a group starts when the one before has ended. */
static double meter_parallel_reads_ns(const uint8_t *region, size_t bytes, int width, long groups, uint64_t seed) {
    const size_t lines = bytes / METER_LINE_BYTES;
    size_t at[METER_WIDTH_MAX];
    uint64_t state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15), word, sum = 0;
    const double start = meter_now_ns();
    for (long g = 0; g < groups; g++) {
        for (int i = 0; i < width; i++) {
            at[i] = meter_line(meter_random(&state), lines);
            PREFETCH(region + at[i]);
        }
        for (int i = 0; i < width; i++) {
            memcpy(&word, region + at[i], sizeof word);
            sum += word;
        }
        SERIALISE();
    }
    const double took = meter_now_ns() - start;
    return (took + (sum == 1 ? 1e-9 : 0)) / (double)groups;
}

#endif
