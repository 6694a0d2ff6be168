/* Filling a table, a row of pages after the other: the next bucket of entries is sorted by page,
 * and each page is filled on its own. Keys live in their first line as far as it has room. Of a
 * line with too many, those move to their second line for which there is room there; when there is
 * none, keys are pushed around at random, and what still finds no place spills.
 *
 * Every page is looked up again before it counts as filled: a key that does not come back alone
 * shares its remainder with another key there, and both spill. */
#ifndef MATCHER_FILL_H
#define MATCHER_FILL_H

#include <stdlib.h>

#include "buckets.h"
#include "table.h"

#define MOVES_MAX 500
#define PAGE_ENTRIES_MAX 4096

enum fill_result {
    FILLED = 0,
    FILL_NO_MEMORY = -1,
    FILL_SPILLS_TOO_MUCH = -2,
    FILL_CONTRADICTION = -3, /* one key with two different members */
};

enum { UNPLACED = 0, TO_SPILL = 1, TO_DROP = 2 };

typedef struct {
    uint32_t pages;
    uint32_t *overflow;    /* pages * 2 */
    uint16_t *confirm;     /* pages * PAGE_SLOTS, zeroed; or NULL */
    uint32_t *filter;      /* filter_blocks * 2, zeroed; or NULL */
    uint32_t filter_blocks;
    fill_entry *spill;
    size_t spilled, spill_max;
    size_t doubles; /* entries given more than once with the same member */
    /* how far it is: the next page, the next bucket, and which pages have all their entries in
     * `sorted`. The entries of page `ready` may follow them there: those that are known already. */
    uint32_t page, bucket, sorted_from, ready;
    fill_entry *sorted;
    size_t sorted_room;
    size_t *start; /* in `sorted`, of page `sorted_from` and those that follow, and the end of the last */
} filling;

static inline uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* A page while it is filled: which entry is where. */
typedef struct {
    uint16_t slots[PAGE_LINES][LINE_SLOTS];
    uint8_t load[PAGE_LINES];
    uint8_t fate[PAGE_ENTRIES_MAX];
    uint8_t first[PAGE_ENTRIES_MAX], second[PAGE_ENTRIES_MAX]; /* the lines of each entry */
    uint32_t random;
} page_filling;

static inline void put_in(page_filling *p, uint32_t line, uint32_t entry) {
    p->slots[line][p->load[line]++] = (uint16_t)entry;
}

static inline uint32_t other_line(const page_filling *p, uint32_t entry, uint32_t line) {
    return line == p->first[entry] ? p->second[entry] : p->first[entry];
}

/* Places an entry whose first line is full: it, or one that lives there, moves to its other line
 * if that has room. */
static int move_one(page_filling *p, uint32_t entry) {
    const uint32_t line = p->first[entry];
    if (p->load[p->second[entry]] < LINE_SLOTS) {
        put_in(p, p->second[entry], entry);
        return 1;
    }
    for (int i = 0; i < LINE_SLOTS; i++) {
        const uint32_t resident = p->slots[line][i], other = other_line(p, resident, line);
        if (p->load[other] == LINE_SLOTS) continue;
        put_in(p, other, resident);
        p->slots[line][i] = (uint16_t)entry;
        return 1;
    }
    return 0;
}

/* Pushes entries around until one finds room; the one that is left in the end spills. */
static void push_around(page_filling *p, uint32_t entry) {
    uint32_t line = p->first[entry];
    for (int moves = 0; moves < MOVES_MAX; moves++) {
        uint16_t *slot = &p->slots[line][next_random(&p->random) % LINE_SLOTS];
        const uint32_t evicted = *slot;
        *slot = (uint16_t)entry;
        entry = evicted;
        line = other_line(p, entry, line);
        if (p->load[line] < LINE_SLOTS) {
            put_in(p, line, entry);
            return;
        }
    }
    p->fate[entry] = TO_SPILL;
}

/* Puts the entries of one page that are to be placed into its lines. */
static void fill_page(page_filling *p, uint32_t n) {
    uint16_t excess[PAGE_ENTRIES_MAX];
    uint32_t excesses = 0;
    memset(p->load, 0, sizeof p->load);
    p->random = 0x9E3779B9u;
    for (uint32_t i = 0; i < n; i++) {
        if (p->fate[i] != UNPLACED) continue;
        if (p->load[p->first[i]] < LINE_SLOTS) put_in(p, p->first[i], i);
        else excess[excesses++] = (uint16_t)i;
    }
    for (uint32_t i = 0; i < excesses; i++)
        if (!move_one(p, excess[i])) push_around(p, excess[i]);
}

/* Writes the lines, and which of them have keys elsewhere, in their second line. */
static void write_page(const page_filling *p, const fill_entry *entries, uint32_t *words,
                       uint32_t *overflow, uint16_t *confirm) {
    memset(words, 0, PAGE_BYTES);
    overflow[0] = overflow[1] = 0;
    if (confirm) memset(confirm, 0, PAGE_SLOTS * sizeof *confirm);
    for (uint32_t line = 0; line < PAGE_LINES; line++)
        for (uint32_t i = 0; i < p->load[line]; i++) {
            const uint32_t first = p->first[p->slots[line][i]];
            const fill_entry *e = entries + p->slots[line][i];
            if (first != line) overflow[first >> 5] |= UINT32_C(1) << (first & 31);
            words[line * LINE_WORDS + i] = (uint32_t)e->hash;
            words[line * LINE_WORDS + LINE_SLOTS + i] = e->stored;
            if (confirm) confirm[line * LINE_SLOTS + i] = e->confirm;
        }
}

/* Whether exactly one slot of the lines answers to the remainder. An empty slot looks like one that
 * has remainder 0. */
static inline int answers_alone(const uint32_t *a, const uint32_t *b, uint32_t remainder) {
#ifdef MATCHER_VECTORS
    const four_words count = line_matches(a, remainder) + line_matches(b, remainder);
    return count[0] + count[1] + count[2] + count[3] == UINT32_MAX; /* a match is -1 */
#else
    uint32_t count = 0;
    for (int i = 0; i < LINE_SLOTS; i++) {
        count += a[i] == remainder && a[LINE_SLOTS + i] != STORED_NOTHING;
        count += b[i] == remainder && b[LINE_SLOTS + i] != STORED_NOTHING;
    }
    return count == 1;
#endif
}

/* Settles the fate of all entries that share entry `i`'s remainder: doubles of one key leave one,
 * different keys all spill. */
static int settle_remainder(const fill_entry *entries, uint32_t n, uint32_t i, uint8_t *fate, size_t *doubles) {
    int different = 0;
    for (uint32_t j = 0; j < n; j++) {
        if (j == i || (uint32_t)entries[j].hash != (uint32_t)entries[i].hash || fate[j] == TO_DROP) continue;
        if (entries[j].hash != entries[i].hash) {
            different = 1;
            fate[j] = TO_SPILL;
        } else if (entries[j].stored != entries[i].stored) {
            return FILL_CONTRADICTION;
        } else {
            fate[j] = TO_DROP;
            ++*doubles;
        }
    }
    if (different) fate[i] = TO_SPILL;
    return FILLED;
}

static int fill_page_proved(const fill_entry *entries, uint32_t n, uint32_t page, uint32_t *words, filling *f) {
    page_filling p;
    uint16_t *confirm = f->confirm ? f->confirm + (size_t)page * PAGE_SLOTS : NULL;
    int settled;
    for (uint32_t i = 0; i < n; i++) {
        const place at = place_of(entries[i].hash, f->pages);
        p.fate[i] = UNPLACED;
        p.first[i] = at.line_a % PAGE_LINES;
        p.second[i] = at.line_b % PAGE_LINES;
    }
    do {
        settled = 1;
        fill_page(&p, n);
        write_page(&p, entries, words, f->overflow + 2 * (size_t)page, confirm);
        for (uint32_t i = 0; i < n; i++) {
            if (p.fate[i] == TO_DROP) continue;
            const uint32_t remainder = (uint32_t)entries[i].hash;
            const uint32_t *a = words + p.first[i] * LINE_WORDS, *b = words + p.second[i] * LINE_WORDS;
            if (p.fate[i] == UNPLACED ? lines_find(a, b, remainder) == entries[i].stored && answers_alone(a, b, remainder)
                                      : !lines_find(a, b, remainder)) continue;
            if (settle_remainder(entries, n, i, p.fate, &f->doubles) != FILLED) return FILL_CONTRADICTION;
            settled = 0;
            break;
        }
    } while (!settled);
    for (uint32_t i = 0; i < n; i++) {
        if (p.fate[i] != TO_SPILL) continue;
        if (f->spilled == f->spill_max) return FILL_SPILLS_TOO_MUCH;
        f->spill[f->spilled++] = entries[i];
    }
    return FILLED;
}

static int by_hash(const void *left, const void *right) {
    const uint64_t a = ((const fill_entry *)left)->hash, b = ((const fill_entry *)right)->hash;
    return (a > b) - (a < b);
}

/* Orders the spill for searching; doubles may have met only here. */
static int fill_spill(filling *f) {
    size_t kept = 0;
    qsort(f->spill, f->spilled, sizeof *f->spill, by_hash);
    for (size_t i = 0; i < f->spilled; i++) {
        if (kept && f->spill[kept - 1].hash == f->spill[i].hash) {
            if (f->spill[kept - 1].stored != f->spill[i].stored) return FILL_CONTRADICTION;
            f->doubles++;
            continue;
        }
        f->spill[kept++] = f->spill[i];
    }
    f->spilled = kept;
    return FILLED;
}

static void fill_filter(const fill_entry *entries, size_t n, filling *f) {
    for (size_t i = 0; i < n; i++) {
        uint32_t low, high, *block = f->filter + (size_t)filter_block(entries[i].hash, f->filter_blocks) * 2;
        filter_bits(entries[i].hash, &low, &high);
        block[0] |= low;
        block[1] |= high;
    }
}

static inline uint32_t page_of(uint64_t hash, uint32_t pages) {
    return (uint32_t)(((hash >> 32) * pages) >> 32);
}

/* Sorts the next bucket's entries by page, after those of its first page that were known. */
static int sort_bucket(filling *f, const entry_buckets *buckets) {
    const uint32_t bucket = f->bucket++;
    const uint32_t pages = f->pages, from = f->ready, to = bucket_first_page(f->bucket, f->pages);
    size_t *start = f->start;
    const size_t known_at = bucket ? start[from - f->sorted_from] : 0;
    const size_t known = bucket ? start[from - f->sorted_from + 1] - known_at : 0;
    const size_t total = known + bucket_count(buckets, bucket);
    if (known > PAGE_ENTRIES_MAX) return FILL_SPILLS_TOO_MUCH;
    if (known) memmove(f->sorted, f->sorted + known_at, known * sizeof *f->sorted);
    if (total > f->sorted_room || !f->sorted) {
        fill_entry *moved = realloc(f->sorted, (total + total / 8 + 1) * sizeof *moved);
        if (!moved) return FILL_NO_MEMORY;
        f->sorted = moved;
        f->sorted_room = total + total / 8 + 1;
    }
    /* start[p + 2] counts page p, then start[p + 1] says where its next entry goes, and in the end
     * where it ends: page p + 1's start */
    memset(start, 0, (to - from + 3) * sizeof *start);
    for (const entry_chunk *chunk = buckets->first[bucket]; chunk; chunk = chunk->next) {
        chunk_prefetch(chunk->next);
        for (size_t i = 0, n = chunk_count(buckets, bucket, chunk); i < n; i++)
            start[page_of(chunk->entries[i].hash, pages) - from + 2]++;
    }
    start[1] = known;
    start[2] += known;
    for (uint32_t p = 1; p <= to - from; p++) start[p + 2] += start[p + 1];
    for (const entry_chunk *chunk = buckets->first[bucket]; chunk; chunk = chunk->next)
        for (size_t i = 0, n = chunk_count(buckets, bucket, chunk); i < n; i++)
            f->sorted[start[page_of(chunk->entries[i].hash, pages) - from + 1]++] = chunk->entries[i];
    f->sorted_from = from;
    f->ready = to;
    return FILLED;
}

/* Makes `f` ready for fill_pages; its sections and `spill` are the caller's. */
static int fill_begin(filling *f) {
    f->page = f->bucket = f->sorted_from = f->ready = 0;
    f->spilled = f->doubles = f->sorted_room = 0;
    f->sorted = NULL;
    f->start = calloc((f->pages >> BUCKETS_BITS) + 4, sizeof *f->start);
    return f->start ? FILLED : FILL_NO_MEMORY;
}

static void fill_end(filling *f) {
    free(f->sorted);
    free(f->start);
}

/* Fills the next pages, at most `room`, into `words`; `*filled` says how many: less only at the end
 * of the table, and then the spill is in order. */
static int fill_pages(filling *f, const entry_buckets *buckets, uint32_t *words, uint32_t room, uint32_t *filled) {
    for (*filled = 0; *filled < room && f->page < f->pages; ++*filled) {
        while (f->page >= f->ready) {
            const int result = sort_bucket(f, buckets);
            if (result != FILLED) return result;
        }
        const size_t at = f->start[f->page - f->sorted_from], n = f->start[f->page - f->sorted_from + 1] - at;
        if (n > PAGE_ENTRIES_MAX) return FILL_SPILLS_TOO_MUCH;
        if (f->filter) fill_filter(f->sorted + at, n, f);
        const int result = fill_page_proved(
            f->sorted + at, (uint32_t)n, f->page++, words + (size_t)*filled * PAGE_WORDS, f);
        if (result != FILLED) return result;
    }
    return f->page == f->pages ? fill_spill(f) : FILLED;
}

#endif
