/* Counts per value, exact, by slot. */
#ifndef KLANTREIS_SPREAD_H
#define KLANTREIS_SPREAD_H

#include "fold.h"

#define WIDTH (1 << 16)   /* of a slot: minutes of 45 days */
#define BLOCK 1024        /* values; which blocks hold a count is kept, so that the others are skipped */
#define BLOCKS (WIDTH / BLOCK)
#define SLOT_SHIFT 48

/* A count per key: open addressing, at most half full. */
typedef struct {
    uint64_t *key;  /* plus one; 0 is a free place */
    uint64_t *count;
    uint64_t places, used;
} Sparse;

static inline uint64_t place_of(uint64_t key) {
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    return key ^ (key >> 32);
}

static inline void sparse_free(Sparse *s) {
    free(s->key), free(s->count);
    memset(s, 0, sizeof *s);
}

/* Counts may go down by adding 2^64 less some; what is down at 0 goes when the places change. */
static inline int sparse_add(Sparse *s, uint64_t key, uint64_t count) {
    if (2 * (s->used + 1) > s->places) {
        uint64_t live = 0;
        for (uint64_t i = 0; i < s->places; i++) live += s->key[i] && s->count[i];
        Sparse fresh = {0};
        for (fresh.places = 64; fresh.places < 4 * (live + 1);) fresh.places *= 2;
        fresh.key = calloc(fresh.places, sizeof(uint64_t));
        fresh.count = calloc(fresh.places, sizeof(uint64_t));
        if (!fresh.key || !fresh.count) return free(fresh.key), free(fresh.count), NO_MEMORY;
        for (uint64_t i = 0; i < s->places; i++)
            if (s->key[i] && s->count[i]) sparse_add(&fresh, s->key[i] - 1, s->count[i]);
        free(s->key), free(s->count);
        *s = fresh;
    }
    uint64_t i = place_of(key) & (s->places - 1);
    while (s->key[i] && s->key[i] != key + 1) i = (i + 1) & (s->places - 1);
    if (!s->key[i]) s->key[i] = key + 1, s->used++;
    s->count[i] += count;
    return FINE;
}

static inline uint64_t sparse_get(const Sparse *s, uint64_t key) {
    if (!s->places) return 0;
    uint64_t i = place_of(key) & (s->places - 1);
    while (s->key[i] && s->key[i] != key + 1) i = (i + 1) & (s->places - 1);
    return s->key[i] ? s->count[i] : 0;
}

static inline int sparse_holds(const Sparse *s, const Sparse *part) {
    for (uint64_t i = 0; i < part->places; i++)
        if (part->key[i] && sparse_get(s, part->key[i] - 1) < part->count[i]) return 0;
    return 1;
}

static inline int sparse_merge(Sparse *into, const Sparse *from, int is_taken_away) {
    for (uint64_t i = 0; i < from->places; i++)
        if (from->key[i] && from->count[i]) {
            uint64_t count = is_taken_away ? -from->count[i] : from->count[i];
            if (sparse_add(into, from->key[i] - 1, count)) return NO_MEMORY;
        }
    return FINE;
}

typedef struct { uint64_t key, count; } Keyed;

static inline int by_key(const void *a, const void *b) {
    uint64_t x = ((const Keyed *)a)->key, y = ((const Keyed *)b)->key;
    return (x > y) - (x < y);
}

/* The counts that are not 0, by key; to be freed. NULL without memory. */
static inline Keyed *sparse_sorted(const Sparse *s, uint64_t *n) {
    Keyed *found = malloc((s->used + 1) * sizeof(Keyed));
    if (!found) return NULL;
    *n = 0;
    for (uint64_t i = 0; i < s->places; i++)
        if (s->key[i] && s->count[i]) found[(*n)++] = (Keyed){s->key[i] - 1, s->count[i]};
    qsort(found, *n, sizeof(Keyed), by_key);
    return found;
}

#define WAITING_MAX 1024

/* Counts of values from 0 on, one row of them a slot; rare large values beside it. The rows are far
 * larger than the nearest caches, so values wait to be counted many at a time. */
typedef struct {
    uint32_t *dense;
    uint8_t *blocks;  /* 1 for each that may hold a count */
    int64_t slots;
    Sparse large;     /* slot << SLOT_SHIFT | value */
    int64_t n_waiting;
    uint32_t waiting[WAITING_MAX];  /* slot << 16 | value */
} Spread;

static inline int spread_room(Spread *s, int64_t slots) {
    s->slots = slots;
    s->dense = calloc((size_t)(slots * WIDTH), sizeof(uint32_t));
    s->blocks = calloc((size_t)(slots * BLOCKS), 1);
    return s->dense && s->blocks ? FINE : NO_MEMORY;
}

static inline void spread_free(Spread *s) {
    free(s->dense), free(s->blocks);
    sparse_free(&s->large);
}

static __attribute__((noinline)) void count_waiting(Spread *s) {
    uint32_t *dense = s->dense;
    uint8_t *blocks = s->blocks;
    int64_t n = s->n_waiting;
    for (int64_t i = 0; i < n; i++) {
        dense[s->waiting[i]]++;
        blocks[s->waiting[i] / BLOCK] = 1;
    }
    s->n_waiting = 0;
}

/* Where the next value waits; `n_waiting` is set when many were added. */
typedef uint32_t *Waiting;

INLINE int wait_for(Spread *s, Waiting *waiting, int64_t slot, int64_t value) {
    if (UNLIKELY(value >= WIDTH)) return sparse_add(&s->large, (uint64_t)slot << SLOT_SHIFT | (uint64_t)value, 1);
    *(*waiting)++ = (uint32_t)(slot * WIDTH + (value > 0 ? value : 0));
    if (UNLIKELY(*waiting == s->waiting + WAITING_MAX)) {
        s->n_waiting = WAITING_MAX;
        count_waiting(s);
        *waiting = s->waiting;
    }
    return FINE;
}

static inline int spread_holds(const Spread *s, const Spread *part) {
    for (int64_t block = 0; block < s->slots * BLOCKS; block++)
        for (int64_t i = block * BLOCK; part->blocks[block] && i < (block + 1) * BLOCK; i++)
            if (s->dense[i] < part->dense[i]) return 0;
    return sparse_holds(&s->large, &part->large);
}

static inline int spread_merge(Spread *into, const Spread *from, int is_taken_away) {
    uint32_t sign = is_taken_away ? UINT32_MAX : 1;
    for (int64_t block = 0; block < into->slots * BLOCKS; block++) {
        if (!from->blocks[block]) continue;
        into->blocks[block] = 1;
        for (int64_t i = block * BLOCK; i < (block + 1) * BLOCK; i++) into->dense[i] += sign * from->dense[i];
    }
    return sparse_merge(&into->large, &from->large, is_taken_away);
}

static inline uint64_t slot_count(const Spread *s, int64_t slot) {
    uint64_t count = 0;
    for (int64_t block = slot * BLOCKS; block < (slot + 1) * BLOCKS; block++)
        for (int64_t i = block * BLOCK; s->blocks[block] && i < (block + 1) * BLOCK; i++) count += s->dense[i];
    for (uint64_t i = 0; i < s->large.places; i++)
        if (s->large.key[i] && (int64_t)((s->large.key[i] - 1) >> SLOT_SHIFT) == slot)
            count += s->large.count[i];
    return count;
}

/* The smallest values that at least each of `shares`, which ascend, of a slot's values do not
 * exceed (type 1 of Hyndman and Fan). `large` is `sparse_sorted` of the spread's. */
static inline void slot_ranks(const Spread *s, const Keyed *large, uint64_t n_large, int64_t slot,
                              uint64_t count, const double *shares, int64_t *found, int n) {
    const uint32_t *dense = s->dense + slot * WIDTH;
    uint64_t seen = 0;
    int next = 0;
    for (int64_t i = 0; i < WIDTH && next < n; i++) {
        if (i % BLOCK == 0 && !s->blocks[slot * BLOCKS + i / BLOCK]) { i += BLOCK - 1; continue; }
        if (!dense[i]) continue;
        seen += dense[i];
        while (next < n && (double)seen >= shares[next] * (double)count) found[next++] = i;
    }
    for (uint64_t i = 0; i < n_large && next < n; i++) {
        if ((int64_t)(large[i].key >> SLOT_SHIFT) != slot) continue;
        seen += large[i].count;
        while (next < n && (double)seen >= shares[next] * (double)count)
            found[next++] = (int64_t)(large[i].key & (((uint64_t)1 << SLOT_SHIFT) - 1));
    }
}

#endif
