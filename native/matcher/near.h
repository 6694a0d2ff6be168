/* Near look-ups: what could have been meant by an identifier that nobody has.
 *
 * Candidates are enumerated, hashed, prefetched and compared in separate phases (overlay.h). A
 * number's check digit is solved for, not tried: where one digit is open, only one makes the sum
 * right, and no memory is touched for the other nine. */
#ifndef MATCHER_NEAR_H
#define MATCHER_NEAR_H

#include <stdlib.h>

#include "numbers.h"
#include "overlay.h"
#include "siphash.h"

#define TEXT_CHARACTERS_MAX 32
#define UNREADABLE_MAX 3
#define CANDIDATES_RUN 32 /* so many are written without looking whether there is room */
#define HITS_FIRST 16
#define QUERY_MAX (TEXT_CHARACTERS_MAX + 4) /* two errors can have made it longer */

/* What went wrong, likeliest first for one candidate: 79 % of typing errors are one wrong digit of
 * about 117 possible ones, 10 % one of 12 swaps (Verhoeff, "Error Detecting Decimal Codes", 1969). */
enum change {
    CHANGE_UNREADABLE,
    CHANGE_SWAPPED,
    CHANGE_SUBSTITUTED,
    CHANGE_DOUBLE,
    CHANGE_MISSING,
    CHANGE_EXTRA,
    CHANGE_TWO,
};

typedef struct {
    siphash_key hash_key, confirm_key;
    uint64_t lengths; /* bit n: an identifier may have n characters */
    uint64_t alphabet[2];
    int kind, check;
    /* by what the check sum lacks to a multiple of ten: */
    int8_t steps[10][20];       /* from a digit to the one that adds that much more, by row */
    uint8_t swappable[10][20][16]; /* whether swapping two digits adds that much, by row of the
                                      right one, and the left one */
    uint8_t solved[2][20];      /* the digit that mends a sum of 0 to 19, by parity of its place */
} domain;

/* What a digit adds to the check sum depends on the parity of its place, and so on its row. */
static inline uint8_t row_of(int place, int digit) {
    return (uint8_t)((place & 1) * 10 + digit);
}

static inline void domain_fill(domain *d) {
    const uint8_t (*share)[10] = CHECK_SHARE[d->check];
    for (int parity = 0; parity < 2; parity++)
        for (int a = 0; a < 10; a++) {
            d->solved[parity][a] = d->solved[parity][10 + a] = CHECK_DIGIT[d->check][parity][(10 - a) % 10];
            for (int lacking = 0; lacking < 10; lacking++) {
                const int other = CHECK_DIGIT[d->check][parity][(share[parity][a] + lacking) % 10];
                d->steps[lacking][row_of(parity, a)] = (int8_t)(other - a);
                for (int b = 0; b < 10; b++) {
                    const int before = share[!parity][a] + share[parity][b];
                    const int after = share[!parity][b] + share[parity][a];
                    d->swappable[lacking][row_of(parity, b)][a] =
                        a != b && (after - before + 20 - lacking) % 10 == 0;
                }
            }
        }
}

/* A member who has a candidate. A number has only its key, a text only its characters. */
typedef struct {
    uint64_t key;
    uint32_t stored;
    uint16_t what; /* change * 256 + place of the change: the order of candidates */
    uint8_t length;
    char text[TEXT_CHARACTERS_MAX];
} near_hit;

typedef struct {
    const overlay *overlay;
    const domain *domain;
    int confirmed, is_text;
    int waiting;
    uint64_t key[BATCH_ROOM];              /* of numbers */
    char text[BATCH_MAX][TEXT_CHARACTERS_MAX];   /* of texts */
    uint8_t length[BATCH_MAX];                   /* of texts */
    uint16_t what[BATCH_MAX];
    batch batch;
    uint64_t asked;
    near_hit *hits;
    size_t hit_count, hit_room;
    near_hit first_hits[HITS_FIRST];
    int no_memory, damaged;
} near_search;

static void near_begin(near_search *s, const overlay *o, const domain *d, int confirmed, int is_text) {
    s->overlay = o;
    s->domain = d;
    s->confirmed = confirmed;
    s->is_text = is_text;
    s->waiting = 0;
    batch_begin(&s->batch);
    s->asked = 0;
    s->hits = s->first_hits;
    s->hit_count = 0;
    s->hit_room = HITS_FIRST;
    s->no_memory = s->damaged = 0;
}

static void near_end(near_search *s) {
    if (s->hits != s->first_hits) free(s->hits);
}

/* ---- hits ---- */

static void near_keep(near_search *s, int i, uint32_t stored) {
    if (s->hit_count == s->hit_room) {
        near_hit *moved = malloc(2 * s->hit_room * sizeof *moved);
        if (!moved) {
            s->no_memory = 1;
            return;
        }
        memcpy(moved, s->hits, s->hit_count * sizeof *moved);
        near_end(s);
        s->hits = moved;
        s->hit_room *= 2;
    }
    near_hit *hit = s->hits + s->hit_count++;
    hit->key = 0;
    hit->length = 0;
    if (s->is_text) {
        hit->length = s->length[i];
        memcpy(hit->text, s->text[i], hit->length);
    } else {
        hit->key = s->key[i];
    }
    hit->stored = stored;
    hit->what = s->what[i];
}

/* How many characters the identifier has, at most TEXT_CHARACTERS_MAX, and the identifier. */
static inline int near_hit_length(const near_search *s, const near_hit *hit) {
    return s->is_text ? hit->length : number_length(hit->key);
}

static inline void near_hit_text(const near_hit *hit, size_t length, char *text) {
    if (hit->length) memcpy(text, hit->text, length);
    else number_text(hit->key, (int)length, text);
}

static int hit_identity(const near_hit *a, const near_hit *b) {
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    const int common = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return common ? common : (int)a->length - (int)b->length;
}

static int by_identity(const void *left, const void *right) {
    const near_hit *a = left, *b = right;
    const int order = hit_identity(a, b);
    return order ? order : (int)a->what - (int)b->what;
}

static int by_likelihood(const void *left, const void *right) {
    const near_hit *a = left, *b = right;
    return a->what != b->what ? (int)a->what - (int)b->what : hit_identity(a, b);
}

/* Leaves each identifier once, with the likeliest change, and the likeliest first. */
static void near_order(near_search *s) {
    size_t kept = 0;
    if (s->hit_count < 2) return;
    qsort(s->hits, s->hit_count, sizeof *s->hits, by_identity);
    for (size_t i = 0; i < s->hit_count; i++)
        if (!kept || hit_identity(&s->hits[kept - 1], &s->hits[i])) s->hits[kept++] = s->hits[i];
    s->hit_count = kept;
    qsort(s->hits, s->hit_count, sizeof *s->hits, by_likelihood);
}

/* ---- the phases ---- */

static uint64_t candidate_hash(const near_search *s, siphash_key key, int i) {
    return s->is_text ? siphash_bytes(key, s->text[i], s->length[i]) : siphash_number(key, s->key[i]);
}

static void near_hits(near_search *s) {
    const batch *b = &s->batch;
    for (int j = 0; j < b->founds; j++) {
        const int i = b->found[j];
        uint32_t found = b->stored[i];
        if (!found) continue;
        if (s->confirmed) {
            const uint64_t confirm = candidate_hash(s, s->domain->confirm_key, i);
            found = overlay_find_confirmed(s->overlay, b->hash[i], (uint16_t)confirm);
            if (found == FOUND_DAMAGE) s->damaged = 1;
            if (!found || found == FOUND_DAMAGE) continue;
        }
        near_keep(s, i, found);
    }
}

/* Hashes the candidates up to `n` and starts fetching their lines. */
static void near_start(near_search *s, int n) {
    const siphash_key key = s->domain->hash_key;
    batch *b = &s->batch;
    if (!s->is_text) {
        batch_fetch_numbers(b, s->overlay, key, s->key, n);
        return;
    }
    for (int i = b->n; i < n; i++) b->hash[i] = siphash_bytes(key, s->text[i], s->length[i]);
    batch_fetch(b, s->overlay, n);
}

/* The same for those that fill groups, while more candidates are still to come. */
static inline void near_start_groups(near_search *s) {
    near_start(s, s->waiting - (s->waiting - s->batch.n) % SIPHASH_GROUP);
}

/* Looks the candidates that wait up. */
static void near_flush(near_search *s) {
    near_start(s, s->waiting);
    const uint32_t any = batch_find(&s->batch, s->overlay);
    if (UNLIKELY(any == FOUND_DAMAGE)) s->damaged = 1;
    else if (any) near_hits(s);
    s->asked += (uint64_t)s->waiting;
    s->waiting = 0;
    batch_begin(&s->batch);
}

/* Whether an identifier may have so many characters. */
static inline int allows(const domain *d, int length) {
    return length >= 1 && length <= TEXT_CHARACTERS_MAX && ((d->lengths >> length) & 1);
}

#endif
