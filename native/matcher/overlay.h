/* A base table, and over it a delta whose additions and tombstones come first.
 *
 * Many keys at once go through separate phases (place and prefetch, ask the delta's filter,
 * compare), so that their memory reads overlap and the delta costs nothing but its filter. */
#ifndef MATCHER_OVERLAY_H
#define MATCHER_OVERLAY_H

#include "siphash.h"
#include "table.h"

#define BATCH_MAX 128
#define BATCH_ROOM (BATCH_MAX + SIPHASH_GROUP) /* of what is hashed in groups */

typedef struct {
    table base, delta;
    int has_delta;
} overlay;

/* ---- the confirm column: 16 more bits of a second hash, beside each slot ---- */

static inline int has_confirm(const overlay *o) {
    return o->base.confirm != NULL || (o->has_delta && o->delta.confirm != NULL);
}

/* `table_find` for a table with a confirm column: a slot that does not confirm does not count. */
static uint32_t table_find_confirmed(const table *t, uint64_t hash, uint16_t confirm, int *damaged) {
    const uint32_t stored = table_find(t, hash, damaged);
    if (!stored || !t->confirm) return stored;
    const place p = place_of(hash, t->pages);
    const uint32_t lines[2] = {p.line_a, p.line_b};
    for (int side = 0; side < 2; side++) {
        const uint32_t *words = line_at(t, lines[side]);
        for (int i = 0; i < LINE_SLOTS; i++) {
            if (words[i] != p.remainder || words[LINE_SLOTS + i] == STORED_NOTHING) continue;
            const size_t slot = (size_t)lines[side] * LINE_SLOTS + (size_t)i;
            if (page_is_bad(t, t->confirm_page + (uint32_t)(slot / (PAGE_BYTES / 2)))) {
                *damaged = 1;
                return STORED_NOTHING;
            }
            return t->confirm[slot] == confirm ? stored : STORED_NOTHING;
        }
    }
    return stored; /* it came from the spill, which keeps whole hashes */
}

/* ---- one key ---- */

/* Starts fetching what `overlay_find` will wait for. */
static inline void overlay_prefetch(const overlay *o, uint64_t hash) {
    table_prefetch(&o->base, hash);
}

/* The member + 1, 0 for nobody, or FOUND_DAMAGE. */
static inline uint32_t overlay_find(const overlay *o, uint64_t hash) {
    int damaged = 0;
    if (o->has_delta) {
        const uint32_t stored = table_find(&o->delta, hash, &damaged);
        if (UNLIKELY(damaged)) return FOUND_DAMAGE;
        if (stored) return stored == STORED_TOMBSTONE ? STORED_NOTHING : stored;
    }
    const uint32_t stored = table_find(&o->base, hash, &damaged);
    return UNLIKELY(damaged) ? FOUND_DAMAGE : stored;
}

static uint32_t overlay_find_confirmed(const overlay *o, uint64_t hash, uint16_t confirm) {
    int damaged = 0;
    if (o->has_delta) {
        const uint32_t stored = table_find_confirmed(&o->delta, hash, confirm, &damaged);
        if (damaged) return FOUND_DAMAGE;
        if (stored) return stored == STORED_TOMBSTONE ? STORED_NOTHING : stored;
    }
    const uint32_t stored = table_find_confirmed(&o->base, hash, confirm, &damaged);
    return damaged ? FOUND_DAMAGE : stored;
}

/* ---- many keys: batch_begin, batch_put for each, batch_find ---- */

typedef struct {
    int n;
    uint8_t states; /* of all pages that it needs, together */
    uint64_t hash[BATCH_ROOM];
    uint64_t line[BATCH_ROOM], line_a[BATCH_ROOM], line_b[BATCH_ROOM]; /* the last two are addresses */
    int seconds;
    uint8_t second[BATCH_ROOM]; /* the keys whose second line is needed too, as indices */
    uint32_t stored[BATCH_MAX]; /* after batch_find: the member + 1, or 0 */
    int founds;
    /* after batch_find: the keys that stored something, and perhaps others; a forged file can have a
     * key in both of its lines */
    uint8_t found[2 * BATCH_MAX];
} batch;

static inline void batch_begin(batch *b) {
    b->n = b->seconds = b->founds = 0;
    b->states = PAGE_GOOD;
}

/* Starts fetching the lines of the keys from `from` to `to`. */
static inline void batch_place(batch *b, const table *t, int from, int to) {
    /* copies, as for all the compiler knows, writing to the batch could change the table */
    const uint32_t pages = t->pages, *overflow = t->overflow;
    const uint8_t *lines_state = t->lines_state;
    const char *lines = (const char *)t->lines;
    uint8_t states = b->states;
    int seconds = b->seconds;
    for (int i = from; i < to; i++) {
        const place p = place_of(b->hash[i], pages);
        uint32_t overflows = (overflow[p.line_a >> 5] >> (p.line_a & 31)) & 1;
        UNGUESSED(overflows);
        const char *a = lines + (size_t)p.line_a * LINE_BYTES;
        const char *c = lines + (size_t)p.line_b * LINE_BYTES;
        PREFETCH(a);
        PREFETCH(a + (c - a) * (ptrdiff_t)overflows);
        b->line_a[i] = (uintptr_t)a;
        b->line_b[i] = (uintptr_t)c;
        b->second[seconds] = (uint8_t)i;
        seconds += (int)overflows;
        states |= lines_state[p.page];
    }
    b->states = states;
    b->seconds = seconds;
}

static inline void batch_found(batch *b, int i, uint32_t stored) {
    b->stored[i] = stored;
    b->found[b->founds++] = (uint8_t)i;
}

#ifdef MATCHER_AVX2
#include "overlay_avx2.h"
#endif

/* Takes the hashes that were written to `hash` up to `n` (at most BATCH_MAX), and starts fetching
 * what they will need. */
static inline void batch_fetch(batch *b, const overlay *o, int n) {
    const table *t = &o->base;
    if (t->filter)
        for (int i = b->n; i < n; i++)
            PREFETCH(t->filter + (size_t)filter_block(b->hash[i], t->filter_blocks) * 2);
    else
        batch_place(b, t, b->n, n);
    b->n = n;
}

/* Takes numbers up to `n`, hashes them, and starts fetching what they will need. */
static inline void batch_fetch_numbers(batch *b, const overlay *o, siphash_key key, const uint64_t *numbers, int n) {
#ifdef MATCHER_AVX2
    if (has_avx2() && !o->base.filter) {
        batch_fetch_numbers_avx2(b, &o->base, key, numbers, n);
        return;
    }
#endif
    siphash_numbers(key, numbers + b->n, b->hash + b->n, n - b->n);
    batch_fetch(b, o, n);
}

static inline void batch_put(batch *b, const overlay *o, uint64_t hash) {
    b->hash[b->n] = hash;
    batch_fetch(b, o, b->n + 1);
}

/* The keys of the batch that may be in a table, as indices. */
static int batch_filter(const batch *b, const table *t, uint8_t *maybe, int *damaged) {
    uint8_t states = PAGE_GOOD;
    int count = 0;
    for (int i = 0; i < b->n; i++)
        states |= t->state[filter_page_of(t, filter_block(b->hash[i], t->filter_blocks))];
    if (UNLIKELY(states & PAGE_UNCHECKED))
        for (int i = 0; i < b->n; i++)
            if (page_is_bad(t, filter_page_of(t, filter_block(b->hash[i], t->filter_blocks)))) *damaged = 1;
    for (int i = 0; i < b->n; i++) {
        maybe[count] = (uint8_t)i;
        count += filter_maybe(t, b->hash[i]);
    }
    return count;
}

static inline void batch_compare(batch *b, int i, uint64_t line) {
    const uint32_t stored = line_find((const uint32_t *)(uintptr_t)line, (uint32_t)b->hash[i]);
    if (stored) batch_found(b, i, stored);
}

static void batch_compare_first(batch *b) {
    for (int i = 0; i < b->n; i++) {
        b->stored[i] = STORED_NOTHING;
        batch_compare(b, i, b->line_a[i]);
    }
}

/* Checks the pages that were not used before. They may still be on the disk, so all are asked for
 * before the first is waited for. */
static void batch_check(const batch *b, const table *t, const uint8_t *maybe, int count, int *damaged) {
    for (int waiting = 0; waiting < 2; waiting++)
        for (int j = 0; j < count; j++) {
            const uint32_t page = place_of(b->hash[maybe ? maybe[j] : j], t->pages).page;
            if (!(t->lines_state[page] & PAGE_UNCHECKED)) continue;
            if (!waiting) page_fetch(t, t->lines_page + page);
            else if (page_is_bad(t, t->lines_page + page)) *damaged = 1;
        }
}

/* What the base holds under the keys that passed its filter (`maybe`, so many), or under all. The
 * second lines come last: they were asked for last. */
static void batch_find_base(batch *b, const table *t, const uint8_t *maybe, int count, int *damaged) {
    if (UNLIKELY(b->states & PAGE_UNCHECKED)) batch_check(b, t, maybe, count, damaged);
    if (maybe) {
        memset(b->stored, 0, (size_t)b->n * sizeof *b->stored);
        for (int j = 0; j < count; j++) batch_compare(b, maybe[j], b->line_a[maybe[j]]);
    } else
#ifdef MATCHER_AVX2
    if (has_avx2()) batch_compare_first_avx2(b);
    else
#endif
        batch_compare_first(b);
    for (int j = 0; j < b->seconds; j++) batch_compare(b, b->second[j], b->line_b[b->second[j]]);
    if (UNLIKELY(b->states & PAGE_HAS_SPILLED))
        for (int j = 0; j < count; j++) {
            const int i = maybe ? maybe[j] : j;
            if (b->stored[i]) continue;
            const uint32_t stored = spill_find(t, b->hash[i]);
            if (stored) batch_found(b, i, stored);
        }
}

/* Fills `stored` and `found`; FOUND_DAMAGE when a page is damaged, else how many were found at most. */
static uint32_t batch_find(batch *b, const overlay *o) {
    uint8_t maybe[BATCH_MAX + 1], changed[BATCH_MAX + 1];
    const table *t = &o->base;
    int damaged = 0, changes = 0, count = b->n;
    if (t->filter) {
        count = batch_filter(b, t, maybe, &damaged);
        for (int j = 0; j < count; j++) batch_place(b, t, maybe[j], maybe[j] + 1);
    }
    if (o->has_delta) {
        if (o->delta.filter) changes = batch_filter(b, &o->delta, changed, &damaged);
        else
            for (; changes < b->n; changes++) changed[changes] = (uint8_t)changes;
    }
    batch_find_base(b, t, t->filter ? maybe : NULL, count, &damaged);
    for (int j = 0; j < changes; j++) {
        const int i = changed[j];
        const uint32_t change = table_find(&o->delta, b->hash[i], &damaged);
        if (change == STORED_TOMBSTONE) b->stored[i] = STORED_NOTHING;
        else if (change && b->stored[i]) b->stored[i] = change;
        else if (change) batch_found(b, i, change);
    }
    return UNLIKELY(damaged) ? FOUND_DAMAGE : (uint32_t)b->founds;
}

#endif
