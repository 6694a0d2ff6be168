/* A base table, and over it a delta whose additions and tombstones come first.
 *
 * Many keys at once go through separate phases (place and prefetch, ask the delta's filter,
 * compare), so that their memory reads overlap and the delta costs nothing but its filter. */
#ifndef MATCHER_OVERLAY_H
#define MATCHER_OVERLAY_H

#include "table.h"

#define BATCH_MAX 128

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
        const uint32_t *words = line_of(t, p.page, lines[side]);
        for (int i = 0; i < LINE_SLOTS; i++) {
            if (words[i] != p.remainder || words[LINE_SLOTS + i] == STORED_NOTHING) continue;
            const size_t slot = ((size_t)p.page * PAGE_LINES + lines[side]) * LINE_SLOTS + (size_t)i;
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

/* The member + 1, 0 for nobody, or FOUND_DAMAGE. */
static inline uint32_t overlay_find(const overlay *o, uint64_t hash) {
    int damaged = 0;
    table_prefetch(&o->base, hash);
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

/* ---- many keys ---- */

typedef struct {
    const uint32_t *a, *b;
} two_lines;

/* The keys of the batch that pass the table's filter, as indices. */
static inline int batch_filter(const table *t, const uint64_t *hash, int n, uint8_t *passed, int *damaged) {
    uint32_t unchecked = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t block = filter_block(hash[i], t->filter_blocks);
        PREFETCH(t->filter + (size_t)block * 2);
        unchecked |= !page_is_checked(t, filter_page_of(t, block));
    }
    if (UNLIKELY(unchecked))
        for (int i = 0; i < n; i++)
            if (page_is_bad(t, filter_page_of(t, filter_block(hash[i], t->filter_blocks)))) *damaged = 1;
    int count = 0;
    for (int i = 0; i < n; i++) {
        passed[count] = (uint8_t)i;
        count += filter_maybe(t, hash[i]);
    }
    return count;
}

/* Looks up `n` (at most BATCH_MAX) hashes: `stored[i]` is the member + 1 or 0. Returns 0 when
 * nobody was found, FOUND_DAMAGE when a page is damaged, else something else. */
static uint32_t overlay_find_batch(const overlay *o, const uint64_t *hash, int n, uint32_t *stored) {
    const table *t = &o->base;
    two_lines lines[BATCH_MAX];
    uint8_t passed[BATCH_MAX + 1];
    uint32_t unchecked = 0, spilled = 0, any = 0;
    int damaged = 0, count = n;

    if (t->filter) {
        count = batch_filter(t, hash, n, passed, &damaged);
        memset(stored, 0, (size_t)n * sizeof *stored);
    }
    for (int j = 0; j < count; j++) {
        const uint64_t h = hash[t->filter ? passed[j] : j];
        const place p = place_of(h, t->pages);
        lines[j].a = line_of(t, p.page, p.line_a);
        lines[j].b = line_of(t, p.page, p.line_b);
        PREFETCH(lines[j].a);
        PREFETCH(lines[j].b);
        unchecked |= !page_is_checked(t, t->lines_page + p.page);
        spilled |= (uint32_t)spill_maybe(t, h);
    }

    uint8_t changed[BATCH_MAX + 1];
    int changes = 0;
    if (o->has_delta) {
        if (o->delta.filter) changes = batch_filter(&o->delta, hash, n, changed, &damaged);
        else
            for (; changes < n; changes++) changed[changes] = (uint8_t)changes;
    }

    if (UNLIKELY(unchecked))
        for (int j = 0; j < count; j++) {
            const uint64_t h = hash[t->filter ? passed[j] : j];
            if (page_is_bad(t, t->lines_page + place_of(h, t->pages).page)) damaged = 1;
        }
    if (t->filter)
        for (int j = 0; j < count; j++)
            any |= stored[passed[j]] = lines_find(lines[j].a, lines[j].b, (uint32_t)hash[passed[j]]);
    else
        for (int j = 0; j < count; j++)
            any |= stored[j] = lines_find(lines[j].a, lines[j].b, (uint32_t)hash[j]);
    if (UNLIKELY(spilled))
        for (int j = 0; j < count; j++) {
            const int i = t->filter ? passed[j] : j;
            if (!stored[i] && spill_maybe(t, hash[i])) any |= stored[i] = spill_find(t, hash[i]);
        }

    for (int j = 0; j < changes; j++) {
        const int i = changed[j];
        const uint32_t change = table_find(&o->delta, hash[i], &damaged);
        if (change) any |= stored[i] = change == STORED_TOMBSTONE ? STORED_NOTHING : change;
    }
    if (UNLIKELY(damaged)) return FOUND_DAMAGE;
    return any == FOUND_DAMAGE ? 1 : any;
}

#endif
