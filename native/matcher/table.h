/* The table: pages of 64 lines, lines of 8 remainders and 8 members. docs/member-index.md describes
 * the file; docs/decisions/0003 says why it is so.
 *
 * A key's 64-bit hash picks a page, two different lines in it, and the 32-bit remainder that is
 * kept. One memory page is touched, and its two lines are read at the same time. Where many keys
 * are looked up at once, the overflow map (a bit a line) tells that most need their first line
 * only: there the limit is how many lines the memory delivers. */
#ifndef MATCHER_TABLE_H
#define MATCHER_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define PAGE_LINES 64
#define LINE_SLOTS 8
#define LINE_WORDS 16
#define LINE_BYTES 64
#define PAGE_SLOTS (PAGE_LINES * LINE_SLOTS)
#define PAGE_WORDS (PAGE_LINES * LINE_WORDS)

/* What a slot holds: 0 nothing, 1 to 2^32 - 2 the member + 1, 2^32 - 1 a tombstone. */
#define STORED_NOTHING 0u
#define STORED_TOMBSTONE UINT32_MAX
/* A tombstone never leaves `overlay_find`, so its code says there that a page is damaged. */
#define FOUND_DAMAGE UINT32_MAX

#if defined(__GNUC__) || defined(__clang__)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PREFETCH(address) __builtin_prefetch(address)
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* Keeps the compiler from making a branch of what no processor could guess. */
#define UNGUESSED(x) __asm__("" : "+r"(x))
#else
#define UNGUESSED(x) ((void)(x))
#define ALWAYS_INLINE inline
#define UNLIKELY(x) (x)
#define PREFETCH(address) ((void)(address))
#endif

/* Where a hash belongs in a table of so many pages: two lines, counted through all pages, of the
 * same page, and what is kept there. */
typedef struct {
    uint32_t page, line_a, line_b, remainder;
} place;

static inline place place_of(uint64_t hash, uint32_t pages) {
    const uint64_t scaled = (hash >> 32) * pages;
    place p;
    p.page = (uint32_t)(scaled >> 32);
    p.line_a = (uint32_t)(scaled >> 26);
    p.line_b = p.line_a ^ (((uint32_t)(scaled >> 20) & 63) | 1);
    p.remainder = (uint32_t)hash;
    return p;
}

/* What a line, or two, store under the remainder, else 0; without a branch. The remainders in a
 * key's two lines are unique (fill.h sees to it), so at most one slot answers. */
#if defined(__GNUC__) || defined(__clang__)
#define MATCHER_VECTORS
typedef uint32_t four_words __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t two_longs __attribute__((vector_size(16)));

static inline four_words line_answers(const uint32_t *line, uint32_t remainder) {
    const four_words wanted = {remainder, remainder, remainder, remainder};
    const four_words *words = (const four_words *)line;
    return ((four_words)(words[0] == wanted) & words[2]) | ((four_words)(words[1] == wanted) & words[3]);
}

/* -1 for each slot that holds something under the remainder, added up over two times four slots. */
static inline four_words line_matches(const uint32_t *line, uint32_t remainder) {
    const four_words wanted = {remainder, remainder, remainder, remainder}, nothing = {0};
    const four_words *words = (const four_words *)line;
    return ((four_words)(words[0] == wanted) & (four_words)(words[2] != nothing)) +
           ((four_words)(words[1] == wanted) & (four_words)(words[3] != nothing));
}

static inline uint32_t any_word(four_words words) {
    const two_longs halves = (two_longs)words;
    const uint64_t both = halves[0] | halves[1];
    return (uint32_t)(both | both >> 32);
}

static inline uint32_t line_find(const uint32_t *line, uint32_t remainder) {
    return any_word(line_answers(line, remainder));
}

static inline uint32_t lines_find(const uint32_t *a, const uint32_t *b, uint32_t remainder) {
    return any_word(line_answers(a, remainder) | line_answers(b, remainder));
}
#else
static inline uint32_t line_find(const uint32_t *line, uint32_t remainder) {
    uint32_t found = 0;
    for (int i = 0; i < LINE_SLOTS; i++)
        found |= line[LINE_SLOTS + i] & (0 - (uint32_t)(line[i] == remainder));
    return found;
}

static inline uint32_t lines_find(const uint32_t *a, const uint32_t *b, uint32_t remainder) {
    return line_find(a, remainder) | line_find(b, remainder);
}
#endif

/* Keys that found no slot, or share a remainder with another key of their page: the whole hash. */
typedef struct {
    uint32_t hash_low, hash_high, stored, zero;
} spill_entry;

/* What has to be done before a page of the file may be believed. */
enum page_state { PAGE_GOOD = 0, PAGE_UNCHECKED = 1, PAGE_HAS_SPILLED = 2 };

typedef struct {
    /* sections of the mapped file */
    const uint32_t *lines;
    const spill_entry *spill;
    const uint32_t *overflow;
    const uint32_t *filter;
    const uint16_t *confirm;
    uint32_t pages, spilled, filter_blocks;
    /* where the sections start, in pages of the file */
    uint32_t lines_page, filter_page, confirm_page;
    /* a byte of page_state for each page of the file, and from the table's first page on */
    uint8_t *state;
    const uint8_t *lines_state;
    /* holds a page against its digest; 0 when it is good, and then its state says so */
    int (*check_page)(void *owner, uint32_t page);
    void *owner;
} table;

static inline int page_is_bad(const table *t, uint32_t page) {
    return UNLIKELY(t->state[page] & PAGE_UNCHECKED) && t->check_page(t->owner, page) != 0;
}

/* Asks the system for a page that will be needed, without waiting for it. */
static inline void page_fetch(const table *t, uint32_t page) {
    const char *file = (const char *)t->lines - (size_t)t->lines_page * PAGE_BYTES;
    posix_madvise((void *)(file + (size_t)page * PAGE_BYTES), PAGE_BYTES, POSIX_MADV_WILLNEED);
}

/* ---- spill ---- */

/* Marks the pages whose keys did not all find a place in them. */
static inline void spill_mark(const table *t) {
    for (uint32_t i = 0; i < t->spilled; i++) {
        const uint64_t hash = (uint64_t)t->spill[i].hash_high << 32;
        t->state[t->lines_page + place_of(hash, t->pages).page] |= PAGE_HAS_SPILLED;
    }
}

static uint32_t spill_find(const table *t, uint64_t hash) {
    uint32_t low = 0, high = t->spilled;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const spill_entry *e = t->spill + middle;
        const uint64_t other = ((uint64_t)e->hash_high << 32) | e->hash_low;
        if (other == hash) return e->stored;
        if (other < hash) low = middle + 1;
        else high = middle;
    }
    return STORED_NOTHING;
}

/* ---- filter: blocks of two words, a key sets two bits in each ---- */

static inline uint32_t filter_block(uint64_t hash, uint32_t blocks) {
    return (uint32_t)(((hash >> 32) * blocks) >> 32);
}

static inline void filter_bits(uint64_t hash, uint32_t *low, uint32_t *high) {
    const uint32_t r = (uint32_t)hash;
    *low = (UINT32_C(1) << (r & 31)) | (UINT32_C(1) << ((r >> 5) & 31));
    *high = (UINT32_C(1) << ((r >> 10) & 31)) | (UINT32_C(1) << ((r >> 15) & 31));
}

static inline uint32_t filter_page_of(const table *t, uint32_t block) {
    return t->filter_page + block / (PAGE_BYTES / 8);
}

/* 0 when the key is certainly not in the table. */
static inline int filter_maybe(const table *t, uint64_t hash) {
    const uint32_t *block = t->filter + (size_t)filter_block(hash, t->filter_blocks) * 2;
    uint32_t low, high;
    filter_bits(hash, &low, &high);
    return ((~block[0] & low) | (~block[1] & high)) == 0;
}

/* ---- one key ---- */

static inline const uint32_t *line_at(const table *t, uint32_t line) {
    return t->lines + (size_t)line * LINE_WORDS;
}

static inline void table_prefetch(const table *t, uint64_t hash) {
    const place p = place_of(hash, t->pages);
    PREFETCH(line_at(t, p.line_a));
    PREFETCH(line_at(t, p.line_b));
}

/* What the table stores under the hash, 0 for nothing. `*damaged` is set when a page that was
 * needed does not match its digest. */
static ALWAYS_INLINE uint32_t table_find(const table *t, uint64_t hash, int *damaged) {
    const place p = place_of(hash, t->pages);
    if (t->filter) {
        if (page_is_bad(t, filter_page_of(t, filter_block(hash, t->filter_blocks)))) {
            *damaged = 1;
            return STORED_NOTHING;
        }
        if (!filter_maybe(t, hash)) return STORED_NOTHING;
    }
    const uint8_t state = t->lines_state[p.page];
    if (UNLIKELY(state != PAGE_GOOD) && page_is_bad(t, t->lines_page + p.page)) {
        *damaged = 1;
        return STORED_NOTHING;
    }
    /* nine members of ten live in their first line: then the second is not waited for */
    uint32_t stored = line_find(line_at(t, p.line_a), p.remainder);
    if (!stored) stored = line_find(line_at(t, p.line_b), p.remainder);
    if (UNLIKELY(!stored && (state & PAGE_HAS_SPILLED))) return spill_find(t, hash);
    return stored;
}

#endif
