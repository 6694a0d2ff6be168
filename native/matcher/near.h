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
} domain;

typedef struct {
    char text[TEXT_CHARACTERS_MAX];
    uint8_t length;
    uint8_t change;
    uint8_t position;
    uint32_t stored;
} near_hit;

typedef struct {
    const overlay *overlay;
    const domain *domain;
    int confirmed;
    int is_text;
    int waiting;
    uint64_t hash[BATCH_MAX];
    uint64_t key[BATCH_MAX];                   /* of numbers */
    char text[BATCH_MAX][TEXT_CHARACTERS_MAX]; /* of texts */
    uint8_t length[BATCH_MAX];                 /* of texts */
    uint8_t change[BATCH_MAX], position[BATCH_MAX];
    uint64_t asked;
    near_hit *hits;
    size_t hit_count, hit_room;
    int no_memory, damaged;
} near_search;

static void near_begin(near_search *s, const overlay *o, const domain *d, int confirmed, int is_text) {
    s->overlay = o;
    s->domain = d;
    s->confirmed = confirmed;
    s->is_text = is_text;
    s->waiting = 0;
    s->asked = 0;
    s->hits = NULL;
    s->hit_count = s->hit_room = 0;
    s->no_memory = s->damaged = 0;
}

/* ---- hits ---- */

static void near_keep(near_search *s, int i, uint32_t stored) {
    if (s->hit_count == s->hit_room) {
        const size_t room = s->hit_room ? 2 * s->hit_room : 16;
        near_hit *moved = realloc(s->hits, room * sizeof *moved);
        if (!moved) {
            s->no_memory = 1;
            return;
        }
        s->hits = moved;
        s->hit_room = room;
    }
    near_hit *hit = s->hits + s->hit_count++;
    if (s->is_text) {
        hit->length = s->length[i];
        memcpy(hit->text, s->text[i], hit->length);
    } else {
        hit->length = (uint8_t)number_text(s->key[i], hit->text);
    }
    hit->stored = stored;
    hit->change = s->change[i];
    hit->position = s->position[i];
}

static int hit_identity(const near_hit *a, const near_hit *b) {
    const int common = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return common ? common : (int)a->length - (int)b->length;
}

static int hit_rank(const near_hit *a, const near_hit *b) {
    if (a->change != b->change) return (int)a->change - (int)b->change;
    return (int)a->position - (int)b->position;
}

static int by_identity(const void *left, const void *right) {
    const int order = hit_identity(left, right);
    return order ? order : hit_rank(left, right);
}

static int by_rank(const void *left, const void *right) {
    const int order = hit_rank(left, right);
    return order ? order : hit_identity(left, right);
}

/* Leaves each identifier once, with the likeliest change, and the likeliest first. */
static void near_order(near_search *s) {
    size_t kept = 0;
    if (s->hit_count < 2) return;
    qsort(s->hits, s->hit_count, sizeof *s->hits, by_identity);
    for (size_t i = 0; i < s->hit_count; i++)
        if (!kept || hit_identity(&s->hits[kept - 1], &s->hits[i])) s->hits[kept++] = s->hits[i];
    s->hit_count = kept;
    qsort(s->hits, s->hit_count, sizeof *s->hits, by_rank);
}

/* ---- the phases ---- */

static uint16_t near_confirm(const near_search *s, int i) {
    const siphash_key key = s->domain->confirm_key;
    return (uint16_t)(s->is_text ? siphash_bytes(key, s->text[i], s->length[i])
                                 : siphash_number(key, s->key[i]));
}

/* Looks the waiting candidates up. */
static void near_flush(near_search *s) {
    uint32_t stored[BATCH_MAX];
    const int n = s->waiting;
    const siphash_key key = s->domain->hash_key;
    if (s->is_text)
        for (int i = 0; i < n; i++) s->hash[i] = siphash_bytes(key, s->text[i], s->length[i]);
    else
        for (int i = 0; i < n; i++) s->hash[i] = siphash_number(key, s->key[i]);
    s->waiting = 0;
    s->asked += (uint64_t)n;
    const uint32_t any = overlay_find_batch(s->overlay, s->hash, n, stored);
    if (UNLIKELY(any == FOUND_DAMAGE)) s->damaged = 1;
    else if (any)
        for (int i = 0; i < n; i++) {
            uint32_t found = stored[i];
            if (!found) continue;
            if (s->confirmed) {
                found = overlay_find_confirmed(s->overlay, s->hash[i], near_confirm(s, i));
                if (found == FOUND_DAMAGE) s->damaged = 1;
                if (!found || found == FOUND_DAMAGE) continue;
            }
            near_keep(s, i, found);
        }
}

/* Takes a candidate if `wanted` is 1; without a branch, as most are not taken by any rule that a
 * processor could guess. */
static inline void near_number(near_search *s, uint64_t key, int change, int position, int wanted) {
    s->key[s->waiting] = key;
    s->change[s->waiting] = (uint8_t)change;
    s->position[s->waiting] = (uint8_t)position;
    s->waiting += wanted;
    if (UNLIKELY(s->waiting == BATCH_MAX)) near_flush(s);
}

/* ---- numbers ---- */

static inline int allows(const domain *d, int length) {
    return length >= 1 && length <= TEXT_CHARACTERS_MAX && ((d->lengths >> length) & 1);
}

/* What is needed to see the effect of one edit at once: the values and check sums of what is left
 * and right of each place. Values are modulo 2^64. */
typedef struct {
    int n, check;
    const uint8_t *digit;
    uint64_t left[QUERY_MAX], right[QUERY_MAX];
    uint16_t left_sum[QUERY_MAX];   /* at the places they have */
    uint16_t left_moved[QUERY_MAX]; /* one place further, because the length changes */
    uint16_t right_sum[QUERY_MAX];
} edges;

static void edges_fill(edges *e, const uint8_t *digit, int n, int check) {
    e->n = n;
    e->check = check;
    e->digit = digit;
    e->left[0] = 0;
    e->left_sum[0] = e->left_moved[0] = 0;
    for (int i = 0; i < n; i++) {
        e->left[i + 1] = e->left[i] * 10 + digit[i];
        e->left_sum[i + 1] = e->left_sum[i] + CHECK_SHARE[check][(n - 1 - i) & 1][digit[i]];
        e->left_moved[i + 1] = e->left_moved[i] + CHECK_SHARE[check][(n - i) & 1][digit[i]];
    }
    e->right[n] = 0;
    e->right_sum[n] = 0;
    for (int i = n - 1; i >= 0; i--) {
        e->right[i] = e->right[i + 1] + digit[i] * POWER_OF_TEN[n - 1 - i];
        e->right_sum[i] = e->right_sum[i + 1] + CHECK_SHARE[check][(n - 1 - i) & 1][digit[i]];
    }
}

/* The digit at `place` from the right that brings a check sum to a multiple of ten. */
static inline unsigned solve(int check, unsigned sum, int place) {
    return CHECK_DIGIT[check][place & 1][(1000 - sum) % 10];
}

/* `two`: this is the second error, so that is what the candidates are called. */
static inline int named(int change, int two) {
    return two ? CHANGE_TWO : change;
}

/* One digit other, from place `from` on. */
static void near_substituted(near_search *s, const edges *e, int from, int two) {
    const uint64_t whole = FIRST_KEY[e->n] + e->left[e->n];
    const int change = named(CHANGE_SUBSTITUTED, two);
    for (int i = from; i < e->n; i++) {
        const int place = e->n - 1 - i;
        const uint64_t others = whole - e->digit[i] * POWER_OF_TEN[place];
        if (e->check) {
            const unsigned x = solve(e->check, e->left_sum[i] + e->right_sum[i + 1], place);
            near_number(s, others + x * POWER_OF_TEN[place], change, i, x != e->digit[i]);
        } else {
            for (unsigned x = 0; x < 10; x++)
                near_number(s, others + x * POWER_OF_TEN[place], change, i, x != e->digit[i]);
        }
    }
}

static void near_swapped(near_search *s, const edges *e, int two) {
    const uint64_t whole = FIRST_KEY[e->n] + e->left[e->n];
    for (int i = 0; i + 1 < e->n; i++) {
        const int place = e->n - 1 - i;
        const unsigned a = e->digit[i], b = e->digit[i + 1];
        const unsigned sum = e->left_sum[i] + e->right_sum[i + 2] + CHECK_SHARE[e->check][place & 1][b] +
                             CHECK_SHARE[e->check][(place - 1) & 1][a];
        const uint64_t moved = (uint64_t)9 * ((uint64_t)b - a) * POWER_OF_TEN[place - 1];
        near_number(s, whole + moved, named(CHANGE_SWAPPED, two), i, (a != b) & (sum % 10 == 0));
    }
}

/* One digit left out of the query's, the last of a row of equal ones. */
static void near_shorter(near_search *s, const edges *e, int two) {
    for (int i = 0; i < e->n; i++) {
        const int last = i + 1 == e->n || e->digit[i] != e->digit[i + 1];
        const int row = i > 0 && e->digit[i] == e->digit[i - 1];
        const unsigned sum = e->left_moved[i] + e->right_sum[i + 1];
        const uint64_t key = FIRST_KEY[e->n - 1] + e->left[i] * POWER_OF_TEN[e->n - 1 - i] + e->right[i + 1];
        near_number(s, key, named(row ? CHANGE_DOUBLE : CHANGE_EXTRA, two), i, last & (sum % 10 == 0));
    }
}

/* One digit more than the query's, before place `i`; not the digit that is there already. */
static void near_longer(near_search *s, const edges *e, int two) {
    const int change = named(CHANGE_MISSING, two);
    for (int i = 0; i <= e->n; i++) {
        const int place = e->n - i;
        const unsigned next = i < e->n ? e->digit[i] : 10;
        const uint64_t key = FIRST_KEY[e->n + 1] + e->left[i] * POWER_OF_TEN[place + 1] + e->right[i];
        if (e->check) {
            const unsigned x = solve(e->check, e->left_moved[i] + e->right_sum[i], place);
            near_number(s, key + x * POWER_OF_TEN[place], change, i, x != next);
        } else {
            for (unsigned x = 0; x < 10; x++)
                near_number(s, key + x * POWER_OF_TEN[place], change, i, x != next);
        }
    }
}

static void near_one(near_search *s, const uint8_t *digit, int n, int from, int two) {
    const domain *d = s->domain;
    const int same = allows(d, n), shorter = allows(d, n - 1), longer = allows(d, n + 1);
    edges e;
    if (!same && !shorter && !longer) return;
    edges_fill(&e, digit, n, d->check);
    if (same) {
        near_substituted(s, &e, from, two);
        near_swapped(s, &e, two);
    }
    if (shorter) near_shorter(s, &e, two);
    if (longer) near_longer(s, &e, two);
}

/* Two errors: every first one, as the check digit says nothing about it alone, then a second. */
static void near_two(near_search *s, const uint8_t *query, int n) {
    uint8_t digit[QUERY_MAX];
    memcpy(digit, query, (size_t)n);
    for (int i = 0; i < n; i++) {
        for (unsigned x = 0; x < 10; x++) {
            if (x == query[i]) continue;
            digit[i] = (uint8_t)x;
            near_one(s, digit, n, i + 1, 1);
        }
        digit[i] = query[i];
    }
    for (int i = 0; i + 1 < n; i++) {
        if (query[i] == query[i + 1]) continue;
        digit[i] = query[i + 1];
        digit[i + 1] = query[i];
        near_one(s, digit, n, 0, 1);
        digit[i] = query[i];
        digit[i + 1] = query[i + 1];
    }
    for (int i = 0; i < n; i++) {
        if (i + 1 < n && query[i] == query[i + 1]) continue;
        memcpy(digit, query, (size_t)i);
        memcpy(digit + i, query + i + 1, (size_t)(n - i - 1));
        near_one(s, digit, n - 1, 0, 1);
    }
    for (int i = 0; i <= n; i++) {
        memcpy(digit, query, (size_t)i);
        memcpy(digit + i + 1, query + i, (size_t)(n - i));
        for (unsigned x = 0; x < 10; x++) {
            if (i < n && x == query[i]) continue;
            digit[i] = (uint8_t)x;
            near_one(s, digit, n + 1, 0, 1);
        }
    }
}

/* The unreadable digits at `open` filled in every way that the check digit allows. */
static void near_unreadable(near_search *s, const uint8_t *digit, int n, const int *open, int opens) {
    const int check = s->domain->check;
    unsigned sum = 0;
    uint64_t key = FIRST_KEY[n];
    const int free_ones = check ? opens - 1 : opens;
    const int solved = n - 1 - open[opens - 1];
    int combinations = 1;
    for (int i = 0, next = 0; i < n; i++) {
        if (next < opens && open[next] == i) {
            next++;
            continue;
        }
        key += digit[i] * POWER_OF_TEN[n - 1 - i];
        sum += CHECK_SHARE[check][(n - 1 - i) & 1][digit[i]];
    }
    for (int i = 0; i < free_ones; i++) combinations *= 10;
    for (int c = 0; c < combinations; c++) {
        uint64_t filled = key;
        unsigned filled_sum = sum;
        for (int i = free_ones - 1, rest = c; i >= 0; i--, rest /= 10) {
            const int place = n - 1 - open[i], x = rest % 10;
            filled += (unsigned)x * POWER_OF_TEN[place];
            filled_sum += CHECK_SHARE[check][place & 1][x];
        }
        if (check) filled += solve(check, filled_sum, solved) * POWER_OF_TEN[solved];
        near_number(s, filled, CHANGE_UNREADABLE, 0, 1);
    }
}

/* Reads digits and unreadable ones; the length, or -1 when there is anything else. */
static int near_digits(const char *text, size_t length, uint8_t *digit, int *open, int *opens) {
    *opens = 0;
    if (length == 0 || length > NUMBER_DIGITS_MAX + 2) return -1;
    for (size_t i = 0; i < length; i++) {
        digit[i] = (uint8_t)(text[i] - '0');
        if (digit[i] <= 9) continue;
        if (text[i] != '?' || *opens == UNREADABLE_MAX) return -1;
        open[(*opens)++] = (int)i;
        digit[i] = 0;
    }
    return (int)length;
}

static void near_numbers(near_search *s, const char *text, size_t length, int errors) {
    uint8_t digit[QUERY_MAX];
    int open[UNREADABLE_MAX], opens;
    const int n = near_digits(text, length, digit, open, &opens);
    if (n < 0) return;
    if (opens) {
        if (allows(s->domain, n)) near_unreadable(s, digit, n, open, opens);
    } else {
        near_one(s, digit, n, 0, 0);
        if (errors == 2) near_two(s, digit, n);
    }
    near_flush(s);
}

/* ---- texts: every character that occurs in the scheme is tried ---- */

static void near_text_candidate(near_search *s, const char *text, int length, int change, int position) {
    memcpy(s->text[s->waiting], text, (size_t)length);
    s->length[s->waiting] = (uint8_t)length;
    s->change[s->waiting] = (uint8_t)change;
    s->position[s->waiting] = (uint8_t)position;
    if (++s->waiting == BATCH_MAX) near_flush(s);
}

static int alphabet_of(const domain *d, char *characters) {
    int count = 0;
    for (int c = 0; c < 128; c++)
        if ((d->alphabet[c >> 6] >> (c & 63)) & 1) characters[count++] = (char)c;
    return count;
}

typedef void text_visit(near_search *s, const char *text, int length, int change, int position);

/* Visits everything that is one edit away from a text. */
static void text_edits(near_search *s, const char *query, int n, text_visit *visit) {
    char text[QUERY_MAX], characters[128];
    const int count = alphabet_of(s->domain, characters);
    memcpy(text, query, (size_t)n);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < count; c++) {
            if (characters[c] == query[i]) continue;
            text[i] = characters[c];
            visit(s, text, n, CHANGE_SUBSTITUTED, i);
        }
        text[i] = query[i];
    }
    for (int i = 0; i + 1 < n; i++) {
        if (query[i] == query[i + 1]) continue;
        text[i] = query[i + 1];
        text[i + 1] = query[i];
        visit(s, text, n, CHANGE_SWAPPED, i);
        text[i] = query[i];
        text[i + 1] = query[i + 1];
    }
    for (int i = 0; i < n; i++) {
        if (i + 1 < n && query[i] == query[i + 1]) continue;
        const int row = i > 0 && query[i] == query[i - 1];
        memcpy(text, query, (size_t)i);
        memcpy(text + i, query + i + 1, (size_t)(n - i - 1));
        visit(s, text, n - 1, row ? CHANGE_DOUBLE : CHANGE_EXTRA, i);
    }
    for (int i = 0; i <= n; i++) {
        memcpy(text, query, (size_t)i);
        memcpy(text + i + 1, query + i, (size_t)(n - i));
        for (int c = 0; c < count; c++) {
            if (i < n && characters[c] == query[i]) continue;
            text[i] = characters[c];
            visit(s, text, n + 1, CHANGE_MISSING, i);
        }
    }
}

static void visit_one(near_search *s, const char *text, int length, int change, int position) {
    if (allows(s->domain, length)) near_text_candidate(s, text, length, change, position);
}

static void visit_second(near_search *s, const char *text, int length, int change, int position) {
    (void)change;
    (void)position;
    visit_one(s, text, length, CHANGE_TWO, 0);
}

static void visit_first(near_search *s, const char *text, int length, int change, int position) {
    (void)change;
    (void)position;
    if (allows(s->domain, length - 1) || allows(s->domain, length) || allows(s->domain, length + 1))
        text_edits(s, text, length, visit_second);
}

static void text_unreadable(near_search *s, const char *query, int n, const int *open, int opens) {
    char text[TEXT_CHARACTERS_MAX], characters[128];
    const int count = alphabet_of(s->domain, characters);
    int combinations = 1;
    memcpy(text, query, (size_t)n);
    for (int i = 0; i < opens; i++) combinations *= count;
    for (int c = 0; c < combinations; c++) {
        for (int i = opens - 1, rest = c; i >= 0; i--, rest /= count) text[open[i]] = characters[rest % count];
        near_text_candidate(s, text, n, CHANGE_UNREADABLE, 0);
    }
}

static void near_texts(near_search *s, const char *text, size_t length, int errors) {
    int open[UNREADABLE_MAX], opens = 0;
    const int n = (int)length;
    if (length == 0 || length > TEXT_CHARACTERS_MAX + 2) return;
    for (int i = 0; i < n; i++) {
        if (text[i] != '?') continue;
        if (opens == UNREADABLE_MAX) return;
        open[opens++] = i;
    }
    if (opens) {
        if (allows(s->domain, n)) text_unreadable(s, text, n, open, opens);
    } else {
        text_edits(s, text, n, visit_one);
        if (errors == 2) text_edits(s, text, n, visit_first);
    }
    near_flush(s);
}

#endif
