/* Counts per value, exact: of minutes and days, by slot (a phase; whether a loop). */
#ifndef KLANTREIS_SPREAD_H
#define KLANTREIS_SPREAD_H

#include "fold.h"

#define BLOCKS 64  /* of a slot: which hold a count is a bit each */
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

/* Counts of values from 0 on, one row of them a slot; rare large values beside it. */
typedef struct {
    uint32_t *dense;
    uint64_t *blocks;  /* of each slot */
    int64_t slots, width, block_shift;
    Sparse large;  /* slot << SLOT_SHIFT | value */
} Spread;

static inline int spread_room(Spread *s, int64_t slots, int64_t width) {
    s->slots = slots;
    s->width = width;
    for (s->block_shift = 0; width >> s->block_shift > BLOCKS;) s->block_shift++;
    s->dense = calloc((size_t)(slots * width), sizeof(uint32_t));
    s->blocks = calloc((size_t)slots, sizeof(uint64_t));
    return s->dense && s->blocks ? FINE : NO_MEMORY;
}

static inline void spread_free(Spread *s) {
    free(s->dense), free(s->blocks);
    sparse_free(&s->large);
}

/* Counts that wait for their cache line: a table of minutes does not fit the nearest caches. */
#define WAITING_MAX 64
typedef struct {
    uint32_t *count[WAITING_MAX];
    int32_t n;
} Waiting;

static inline void count_waiting(Waiting *w) {
    for (int32_t i = 0; i < w->n; i++) ++*w->count[i];
    w->n = 0;
}

static inline int spread_add(Waiting *w, Spread *s, int64_t slot, int64_t value) {
    if (value < s->width) {
        value = value > 0 ? value : 0;
        uint32_t *count = s->dense + slot * s->width + value;
        __builtin_prefetch(count, 1);
        s->blocks[slot] |= (uint64_t)1 << (value >> s->block_shift);
        w->count[w->n++] = count;
        if (w->n == WAITING_MAX) count_waiting(w);
        return FINE;
    }
    return sparse_add(&s->large, (uint64_t)slot << SLOT_SHIFT | (uint64_t)value, 1);
}

static inline int spread_holds(const Spread *s, const Spread *part) {
    for (int64_t slot = 0; slot < s->slots; slot++)
        for (uint64_t left = part->blocks[slot]; left; left &= left - 1) {
            int64_t first = slot * s->width + ((int64_t)__builtin_ctzll(left) << s->block_shift);
            for (int64_t i = first; i < first + ((int64_t)1 << s->block_shift); i++)
                if (s->dense[i] < part->dense[i]) return 0;
        }
    return sparse_holds(&s->large, &part->large);
}

static inline int spread_merge(Spread *into, const Spread *from, int is_taken_away) {
    uint32_t sign = is_taken_away ? UINT32_MAX : 1;
    for (int64_t slot = 0; slot < into->slots; slot++) {
        into->blocks[slot] |= from->blocks[slot];
        for (uint64_t left = from->blocks[slot]; left; left &= left - 1) {
            int64_t first = slot * into->width + ((int64_t)__builtin_ctzll(left) << into->block_shift);
            for (int64_t i = first; i < first + ((int64_t)1 << into->block_shift); i++)
                into->dense[i] += sign * from->dense[i];
        }
    }
    return sparse_merge(&into->large, &from->large, is_taken_away);
}

static inline uint64_t slot_count(const Spread *s, int64_t slot) {
    uint64_t count = 0;
    for (uint64_t left = s->blocks[slot]; left; left &= left - 1) {
        int64_t first = slot * s->width + ((int64_t)__builtin_ctzll(left) << s->block_shift);
        for (int64_t i = first; i < first + ((int64_t)1 << s->block_shift); i++) count += s->dense[i];
    }
    for (uint64_t i = 0; i < s->large.places; i++)
        if (s->large.key[i] && (int64_t)((s->large.key[i] - 1) >> SLOT_SHIFT) == slot)
            count += s->large.count[i];
    return count;
}

/* The smallest values that at least each of `shares`, which ascend, of a slot's values do not
 * exceed (type 1 of Hyndman and Fan). `large` is `sparse_sorted` of the spread's. */
static inline void slot_ranks(const Spread *s, const Keyed *large, uint64_t n_large, int64_t slot,
                              uint64_t count, const double *shares, int64_t *found, int n) {
    uint64_t seen = 0;
    int next = 0;
    for (uint64_t left = s->blocks[slot]; left && next < n; left &= left - 1) {
        int64_t first = (int64_t)__builtin_ctzll(left) << s->block_shift;
        const uint32_t *dense = s->dense + slot * s->width;
        for (int64_t i = first; i < first + ((int64_t)1 << s->block_shift); i++) {
            if (!dense[i]) continue;
            seen += dense[i];
            while (next < n && (double)seen >= shares[next] * (double)count) found[next++] = i;
        }
    }
    for (uint64_t i = 0; i < n_large && next < n; i++) {
        if ((int64_t)(large[i].key >> SLOT_SHIFT) != slot) continue;
        seen += large[i].count;
        while (next < n && (double)seen >= shares[next] * (double)count)
            found[next++] = (int64_t)(large[i].key & (((uint64_t)1 << SLOT_SHIFT) - 1));
    }
}

#endif
