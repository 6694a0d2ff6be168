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
    uint8_t mended[10][2][10];   /* the digit that adds that much more, by parity of its place */
    uint8_t solved[2][20];         /* the digit that mends a sum of 0 to 19, by parity of its place */
    uint8_t swappable[10][2][100]; /* whether swapping two digits adds that much, by parity of the
                                      right one's place and the two */
} domain;

static inline void domain_fill(domain *d) {
    const uint8_t (*share)[10] = CHECK_SHARE[d->check];
    for (int lacking = 0; lacking < 10; lacking++)
        for (int parity = 0; parity < 2; parity++)
            for (int a = 0; a < 10; a++) {
                d->solved[parity][a] = d->solved[parity][10 + a] =
                    CHECK_DIGIT[d->check][parity][(10 - a) % 10];
                d->mended[lacking][parity][a] =
                    CHECK_DIGIT[d->check][parity][(share[parity][a] + lacking) % 10];
                for (int b = 0; b < 10; b++) {
                    const int before = share[!parity][a] + share[parity][b];
                    const int after = share[!parity][b] + share[parity][a];
                    d->swappable[lacking][parity][a * 10 + b] =
                        a != b && (after - before + 20 - lacking) % 10 == 0;
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
    hit->key = s->is_text ? 0 : s->key[i];
    hit->length = s->is_text ? s->length[i] : 0;
    memcpy(hit->text, s->text[s->is_text ? i : 0], hit->length);
    hit->stored = stored;
    hit->what = s->what[i];
}

/* Writes the identifier, at most TEXT_CHARACTERS_MAX characters, and returns how many they are. */
static inline int near_hit_text(const near_search *s, const near_hit *hit, char *text) {
    if (!s->is_text) return number_text(hit->key, text);
    memcpy(text, hit->text, hit->length);
    return hit->length;
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
    for (int i = 0; i < b->n; i++) {
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

/* Hashes the candidates that wait and starts fetching their lines. */
static void near_start(near_search *s) {
    const siphash_key key = s->domain->hash_key;
    batch *b = &s->batch;
    const int from = b->n;
    if (s->is_text)
        for (int i = from; i < s->waiting; i++) b->hash[i] = siphash_bytes(key, s->text[i], s->length[i]);
    else
        siphash_numbers(key, s->key + from, b->hash + from, s->waiting - from);
    batch_fetch(b, s->overlay, s->waiting);
}

/* Looks the candidates that wait up. */
static void near_flush(near_search *s) {
    near_start(s);
    const uint32_t any = batch_find(&s->batch, s->overlay);
    if (UNLIKELY(any == FOUND_DAMAGE)) s->damaged = 1;
    else if (any) near_hits(s);
    s->asked += (uint64_t)s->waiting;
    s->waiting = 0;
    batch_begin(&s->batch);
}

/* ---- numbers ---- */

/* Makes room for a run of at most CANDIDATES_RUN candidates. */
static inline void near_room(near_search *s) {
    if (UNLIKELY(s->waiting > BATCH_MAX - CANDIDATES_RUN)) near_flush(s);
}

static inline int near_room_at(near_search *s, int at) {
    s->waiting = at;
    near_room(s);
    return s->waiting;
}

/* Writes a candidate at `at`. Whether it is wanted is added to `at`, which no branch could guess;
 * `at` is the caller's, so that it stays in a register. */
static inline void near_number(near_search *s, size_t at, uint64_t key, int change, size_t place) {
    s->key[at] = key;
    s->what[at] = (uint16_t)((size_t)change << 8 | place);
}

static inline int allows(const domain *d, int length) {
    return length >= 1 && length <= TEXT_CHARACTERS_MAX && ((d->lengths >> length) & 1);
}

/* Digits, the first at the left; the value modulo 2^64, and what the digits add to the check sum
 * at their places. */
typedef struct {
    int n;
    uint8_t digit[QUERY_MAX];
    uint64_t value;
    unsigned sum;
} digits;

static inline void digits_add_up(digits *q, int check) {
    q->value = 0;
    q->sum = 0;
    for (int i = 0; i < q->n; i++) {
        q->value = q->value * 10 + q->digit[i];
        q->sum += CHECK_SHARE[check][(q->n - 1 - i) & 1][q->digit[i]];
    }
}

/* How much is missing from the check sum to a multiple of ten. */
static inline int lacking(unsigned sum) {
    return (int)((1000 - sum) % 10);
}

/* One digit other, from the digit `from` on: where there is a check digit, the one that mends it. */
static void near_mended(near_search *s, const digits *q, int from, int change) {
    const int lacks = lacking(q->sum);
    const uint8_t *mended = s->domain->mended[lacks][0];
    const uint64_t whole = FIRST_KEY[q->n] + q->value;
    if (!lacks) return; /* no other digit adds nothing */
    near_room(s);
    size_t at = (size_t)s->waiting, place = (size_t)q->n - (size_t)from;
    for (size_t i = (size_t)from; place-- > 0; i++) {
        const uint64_t x = q->digit[i], y = mended[(place & 1) * 10 + x];
        near_number(s, at, whole + (y - x) * POWER_OF_TEN[place], change, i);
        at += y != x;
    }
    s->waiting = (int)at;
}

static void near_substituted(near_search *s, const digits *q, int from, int change) {
    const uint64_t whole = FIRST_KEY[q->n] + q->value;
    for (int i = from; i < q->n; i++) {
        const uint64_t x = q->digit[i], unit = POWER_OF_TEN[q->n - 1 - i];
        near_room(s);
        for (uint64_t y = 0; y < 10; y++)
            if (y != x) near_number(s, (size_t)s->waiting++, whole + (y - x) * unit, change, (size_t)i);
    }
}

/* Two neighbours changed places. */
static void near_swapped(near_search *s, const digits *q, int change) {
    const uint8_t *swappable = s->domain->swappable[lacking(q->sum)][0];
    const uint64_t whole = FIRST_KEY[q->n] + q->value;
    near_room(s);
    size_t at = (size_t)s->waiting, place = (size_t)q->n - 1;
    uint64_t a = q->digit[0];
    for (size_t i = 0; place-- > 0; i++) {
        const uint64_t b = q->digit[i + 1];
        near_number(s, at, whole + (b - a) * NINE_TIMES_POWER[place], change, i);
        at += swappable[(place & 1) * 100 + a * 10 + b];
        a = b;
    }
    s->waiting = (int)at;
}

/* One of the query's digits too many; of a row of equal ones, the last. */
static void near_shorter(near_search *s, const digits *q, int two) {
    const int check = s->domain->check, n = q->n;
    uint64_t left = 0;
    unsigned left_sum = 0, left_moved = 0; /* at their places, and one place to the right */
    near_room(s);
    int at = s->waiting;
    for (int i = 0; i < n; i++) {
        const int place = n - 1 - i;
        const uint8_t x = q->digit[i];
        const int last = i + 1 == n || x != q->digit[i + 1], row = i > 0 && x == q->digit[i - 1];
        left_sum += CHECK_SHARE[check][place & 1][x];
        const unsigned sum = left_moved + q->sum - left_sum;
        const uint64_t key = FIRST_KEY[n - 1] + q->value - (9 * left + x) * POWER_OF_TEN[place];
        near_number(s, (size_t)at, key, two ? CHANGE_TWO : row ? CHANGE_DOUBLE : CHANGE_EXTRA, (size_t)i);
        at += last & (sum % 10 == 0);
        left_moved += CHECK_SHARE[check][(place + 1) & 1][x];
        left = left * 10 + x;
    }
    s->waiting = at;
}

/* One digit more than the query's, before digit `i`; not the digit that is there already. */
static void near_longer(near_search *s, const digits *q, int change) {
    const int check = s->domain->check, n = q->n;
    uint64_t left = 0;
    unsigned left_sum = 0, left_moved = 0; /* at their places, and one place to the left */
    near_room(s);
    int at = s->waiting;
    for (int i = 0; i <= n; i++) {
        const int place = n - i;
        const unsigned next = i < n ? q->digit[i] : 10;
        const uint64_t key = FIRST_KEY[n + 1] + q->value + 9 * left * POWER_OF_TEN[place];
        if (check) {
            const unsigned x = CHECK_DIGIT[check][place & 1][lacking(left_moved + q->sum - left_sum)];
            near_number(s, (size_t)at, key + x * POWER_OF_TEN[place], change, (size_t)i);
            at += x != next;
        } else {
            at = near_room_at(s, at);
            for (unsigned x = 0; x < 10; x++) {
                near_number(s, (size_t)at, key + x * POWER_OF_TEN[place], change, (size_t)i);
                at += x != next;
            }
        }
        if (i == n) break;
        left_sum += CHECK_SHARE[check][(place - 1) & 1][next];
        left_moved += CHECK_SHARE[check][place & 1][next];
        left = left * 10 + next;
    }
    s->waiting = at;
}

/* Everything that is one error away. `two`: it is the second error. */
static void near_one(near_search *s, const digits *q, int from, int two) {
    const domain *d = s->domain;
    if (allows(d, q->n)) {
        if (d->check) near_mended(s, q, from, two ? CHANGE_TWO : CHANGE_SUBSTITUTED);
        else near_substituted(s, q, from, two ? CHANGE_TWO : CHANGE_SUBSTITUTED);
        if (!two) near_start(s);
        near_swapped(s, q, two ? CHANGE_TWO : CHANGE_SWAPPED);
    }
    if (allows(d, q->n - 1)) near_shorter(s, q, two);
    if (allows(d, q->n + 1)) near_longer(s, q, two ? CHANGE_TWO : CHANGE_MISSING);
}

static void near_second(near_search *s, digits *first, int from) {
    const domain *d = s->domain;
    if (!allows(d, first->n - 1) && !allows(d, first->n) && !allows(d, first->n + 1)) return;
    digits_add_up(first, d->check);
    near_one(s, first, from, 1);
}

/* Two errors: every first one, as the check digit says nothing about it alone, then a second. */
static void near_two(near_search *s, const digits *q) {
    const int n = q->n;
    digits first = *q;
    for (int i = 0; i < n; i++) {
        for (uint8_t x = 0; x < 10; x++) {
            if (x == q->digit[i]) continue;
            first.digit[i] = x;
            near_second(s, &first, i + 1);
        }
        first.digit[i] = q->digit[i];
    }
    for (int i = 0; i + 1 < n; i++) {
        if (q->digit[i] == q->digit[i + 1]) continue;
        first.digit[i] = q->digit[i + 1];
        first.digit[i + 1] = q->digit[i];
        near_second(s, &first, 0);
        first.digit[i] = q->digit[i];
        first.digit[i + 1] = q->digit[i + 1];
    }
    first.n = n - 1;
    for (int i = 0; i < n; i++) {
        if (i + 1 < n && q->digit[i] == q->digit[i + 1]) continue;
        memcpy(first.digit, q->digit, (size_t)i);
        memcpy(first.digit + i, q->digit + i + 1, (size_t)(n - i - 1));
        near_second(s, &first, 0);
    }
    first.n = n + 1;
    for (int i = 0; i <= n; i++) {
        memcpy(first.digit, q->digit, (size_t)i);
        memcpy(first.digit + i + 1, q->digit + i, (size_t)(n - i));
        for (uint8_t x = 0; x < 10; x++) {
            if (i < n && x == q->digit[i]) continue;
            first.digit[i] = x;
            near_second(s, &first, 0);
        }
    }
}

/* The unreadable digits that are left, from `open` on, filled in every way the check digit allows.
 * `key` and `sum` (0 to 9) are of what is known: `place` counts from the right. */
static void near_unreadable(near_search *s, const uint8_t *place, int open, uint64_t key, unsigned sum) {
    const domain *d = s->domain;
    const uint8_t (*share)[10] = CHECK_SHARE[d->check], *here = share[place[0] & 1];
    const uint64_t unit = POWER_OF_TEN[place[0]];
    if (d->check && open == 2) {
        const uint8_t *solved = d->solved[place[1] & 1];
        near_room(s);
        size_t at = (size_t)s->waiting;
        for (uint64_t x = 0; x < 10; x++)
            near_number(s, at++, key + x * unit + solved[sum + here[x]] * POWER_OF_TEN[place[1]], CHANGE_UNREADABLE, 0);
        s->waiting = (int)at;
        near_start(s);
    } else if (d->check && open == 1) {
        near_room(s);
        near_number(s, (size_t)s->waiting++, key + d->solved[place[0] & 1][sum] * unit, CHANGE_UNREADABLE, 0);
    } else {
        for (uint64_t x = 0; x < 10; x++) {
            if (open > 1) {
                near_unreadable(s, place + 1, open - 1, key + x * unit, (sum + here[x]) % 10);
            } else {
                near_room(s);
                near_number(s, (size_t)s->waiting++, key + x * unit, CHANGE_UNREADABLE, 0);
            }
        }
    }
}

/* Reads digits and unreadable ones, which count as zeros and whose places from the right are noted;
 * false when there is anything else. */
static int near_digits(const char *text, size_t length, digits *q, uint8_t *place, int *opens) {
    *opens = 0;
    if (length == 0 || length > NUMBER_DIGITS_MAX + 2) return 0;
    q->n = (int)length;
    for (int i = 0; i < q->n; i++) {
        q->digit[i] = (uint8_t)(text[i] - '0');
        if (q->digit[i] <= 9) continue;
        if (text[i] != '?' || *opens == UNREADABLE_MAX) return 0;
        place[(*opens)++] = (uint8_t)(q->n - 1 - i);
        q->digit[i] = 0;
    }
    return 1;
}

static void near_numbers(near_search *s, const char *text, size_t length, int errors) {
    digits q;
    uint8_t place[UNREADABLE_MAX];
    int opens;
    if (!near_digits(text, length, &q, place, &opens)) return;
    digits_add_up(&q, s->domain->check);
    if (opens) {
        if (allows(s->domain, q.n)) near_unreadable(s, place, opens, FIRST_KEY[q.n] + q.value, q.sum % 10);
    } else {
        near_one(s, &q, 0, 0);
        if (errors == 2) near_two(s, &q);
    }
    near_flush(s);
}

/* ---- texts: every character that occurs in the scheme is tried ---- */

static void near_text_candidate(near_search *s, const char *text, int length, int change, int place) {
    memcpy(s->text[s->waiting], text, (size_t)length);
    s->length[s->waiting] = (uint8_t)length;
    s->what[s->waiting] = (uint16_t)(change << 8 | place);
    if (++s->waiting == BATCH_MAX) near_flush(s);
}

static int alphabet_of(const domain *d, char *characters) {
    int count = 0;
    for (int c = 0; c < 128; c++)
        if ((d->alphabet[c >> 6] >> (c & 63)) & 1) characters[count++] = (char)c;
    return count;
}

typedef void text_visit(near_search *s, const char *text, int length, int change, int place);

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

static void visit_one(near_search *s, const char *text, int length, int change, int place) {
    if (allows(s->domain, length)) near_text_candidate(s, text, length, change, place);
}

static void visit_second(near_search *s, const char *text, int length, int change, int place) {
    (void)change;
    (void)place;
    visit_one(s, text, length, CHANGE_TWO, 0);
}

static void visit_first(near_search *s, const char *text, int length, int change, int place) {
    (void)change;
    (void)place;
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

static inline void near_texts(near_search *s, const char *text, size_t length, int errors) {
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
