/* Hashed entries on their way into a table, in buckets by the upper bits of their hash, each in the
 * order in which its entries came. Pages follow the hash too (table.h), so a bucket holds all
 * entries of a row of pages, however many pages there will be; sorted by page it fits a cache. */
#ifndef MATCHER_BUCKETS_H
#define MATCHER_BUCKETS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define BUCKETS_BITS 10
#define BUCKETS (1 << BUCKETS_BITS)
#define CHUNK_BYTES 1024
#define CHUNK_ENTRIES 63
#define SLAB_CHUNKS_FIRST 64
#define SLAB_CHUNKS_MAX 4096

typedef struct {
    uint64_t hash;
    uint32_t stored;
    uint16_t confirm;
    uint16_t zero;
} fill_entry;

/* Stands at a multiple of its size, so that where the next entry goes also says whether there is
 * still room. */
typedef struct entry_chunk {
    struct entry_chunk *next;
    uint64_t unused;
    fill_entry entries[CHUNK_ENTRIES];
} entry_chunk;

typedef struct {
    fill_entry *next[BUCKETS]; /* where the next entry of each bucket goes; NULL before the first */
    entry_chunk *first[BUCKETS];
    size_t chunks[BUCKETS];
    entry_chunk *slab; /* the first chunk of a slab links it to the one before */
    size_t slab_chunks, slab_used;
} entry_buckets;

static inline uint32_t bucket_of(uint64_t hash) {
    return (uint32_t)(hash >> (64 - BUCKETS_BITS));
}

/* The first page that entries of a bucket may belong to; that of bucket BUCKETS is `pages`. */
static inline uint32_t bucket_first_page(uint32_t bucket, uint32_t pages) {
    return (uint32_t)(((uint64_t)bucket << (32 - BUCKETS_BITS)) * pages >> 32);
}

static void buckets_free(entry_buckets *b) {
    while (b->slab) {
        entry_chunk *before = b->slab->next;
        free(b->slab);
        b->slab = before;
    }
}

static inline int chunk_is_full(const fill_entry *next) {
    return ((uintptr_t)next & (CHUNK_BYTES - 1)) == 0;
}

/* Gives a bucket whose last chunk is full another one; 0 when there is no memory for it. */
static int bucket_grow(entry_buckets *b, uint32_t bucket) {
    if (b->slab_used == b->slab_chunks) {
        const size_t chunks = !b->slab ? SLAB_CHUNKS_FIRST
                              : b->slab_chunks < SLAB_CHUNKS_MAX ? b->slab_chunks * 2 : SLAB_CHUNKS_MAX;
        void *slab;
        if (posix_memalign(&slab, CHUNK_BYTES, chunks * sizeof(entry_chunk)) != 0) return 0;
        ((entry_chunk *)slab)->next = b->slab;
        b->slab = slab;
        b->slab_chunks = chunks;
        b->slab_used = 1;
    }
    entry_chunk *chunk = b->slab + b->slab_used++;
    chunk->next = NULL;
    if (b->first[bucket]) ((entry_chunk *)b->next[bucket] - 1)->next = chunk;
    else b->first[bucket] = chunk;
    b->next[bucket] = chunk->entries;
    b->chunks[bucket]++;
    return 1;
}

/* Puts an entry after the others of its bucket; 0 when there is no memory for it. */
static inline int buckets_put(entry_buckets *b, uint64_t hash, uint32_t stored, uint16_t confirm) {
    const uint32_t bucket = bucket_of(hash);
    if (UNLIKELY(chunk_is_full(b->next[bucket])) && !bucket_grow(b, bucket)) return 0;
    const fill_entry entry = {hash, stored, confirm, 0};
    *b->next[bucket]++ = entry;
    return 1;
}

/* How many entries a bucket's chunk holds. */
static inline size_t chunk_count(const entry_buckets *b, uint32_t bucket, const entry_chunk *chunk) {
    return chunk->next ? CHUNK_ENTRIES : (size_t)(b->next[bucket] - chunk->entries);
}

static inline size_t bucket_count(const entry_buckets *b, uint32_t bucket) {
    const size_t chunks = b->chunks[bucket];
    if (!chunks) return 0;
    const uintptr_t left = (0 - (uintptr_t)b->next[bucket]) & (CHUNK_BYTES - 1);
    return chunks * CHUNK_ENTRIES - left / sizeof(fill_entry);
}

/* Starts fetching a chunk that is needed next; there may be none. */
static inline void chunk_prefetch(const entry_chunk *chunk) {
    for (size_t at = 0; at < CHUNK_BYTES; at += LINE_BYTES) PREFETCH((const char *)chunk + at);
}

#endif
