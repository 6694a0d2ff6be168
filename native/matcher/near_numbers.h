/* What a number may have been: every error that its check digit allows. */
#ifndef MATCHER_NEAR_NUMBERS_H
#define MATCHER_NEAR_NUMBERS_H

#include "near.h"

#define QUERY_DIGITS_ROOM 24 /* no number has more digits; a whole number of vectors, below CANDIDATES_RUN */

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

/* Digits, the first at the left, and their rows; the value modulo 2^64, and what the digits add to
 * the check sum at their places. */
typedef struct {
    int n;
    uint8_t digit[QUERY_MAX], row[QUERY_MAX];
    uint64_t value;
    unsigned sum;
} digits;

static inline void digits_add_up(digits *q, int check) {
    const uint8_t *share = CHECK_SHARE[check][0];
    q->sum = 0;
    for (int i = 0; i < q->n; i++) {
        q->row[i] = row_of(q->n - 1 - i, q->digit[i]);
        q->sum += share[q->row[i]];
    }
}

static inline void digits_value(digits *q) {
    q->value = 0;
    for (int i = 0; i < q->n; i++) q->value = q->value * 10 + q->digit[i];
}

/* How much is missing from the check sum to a multiple of ten. */
static inline int lacking(unsigned sum) {
    return (int)((1000 - sum) % 10);
}

/* One digit other, from the digit `from` on: the one that mends the check sum. Each digit has one,
 * unless the sum is right: then none has. */
static void near_mended(near_search *s, const digits *q, int from, int change) {
    const int lacks = lacking(q->sum);
    const int8_t *steps = s->domain->steps[lacks];
    const uint64_t whole = FIRST_KEY[q->n] + q->value;
    if (!lacks) return;
    near_room(s);
    const size_t n = (size_t)q->n;
    size_t at = (size_t)s->waiting;
    const uint16_t first = (uint16_t)(change << 8 | from);
    for (size_t i = 0; i < QUERY_DIGITS_ROOM; i++) s->what[at + i] = (uint16_t)(first + i);
    for (size_t i = (size_t)from; i < n; i++) {
        const uint64_t step = (uint64_t)(int64_t)steps[q->row[i]];
        s->key[at++] = whole + step * POWER_OF_TEN[n - 1 - i];
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
    const uint8_t (*swappable)[16] = s->domain->swappable[lacking(q->sum)];
    const uint64_t whole = FIRST_KEY[q->n] + q->value;
    near_room(s);
    const size_t n = (size_t)q->n;
    size_t at = (size_t)s->waiting;
    uint64_t a = q->digit[0];
    for (size_t i = 0; i + 1 < n; i++) {
        const uint64_t b = q->digit[i + 1];
        near_number(s, at, whole + (b - a) * NINE_TIMES_POWER[n - 2 - i], change, i);
        at += swappable[q->row[i + 1]][a];
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
        near_swapped(s, q, two ? CHANGE_TWO : CHANGE_SWAPPED);
    }
    if (allows(d, q->n - 1)) near_shorter(s, q, two);
    if (allows(d, q->n + 1)) near_longer(s, q, two ? CHANGE_TWO : CHANGE_MISSING);
}

static void near_second(near_search *s, digits *first, int from) {
    const domain *d = s->domain;
    if (!allows(d, first->n - 1) && !allows(d, first->n) && !allows(d, first->n + 1)) return;
    digits_add_up(first, d->check);
    digits_value(first);
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
        near_start_groups(s);
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

/* The bytes `from` to `from` + 8 of a text of `length` as one word, zeros after its end; nothing is
 * read beyond it. */
static inline uint64_t bytes_from(const char *text, size_t length, size_t from) {
    if (length >= from + 8) return eight_bytes(text + from);
    if (length <= from) return 0;
    if (length >= 8) return eight_bytes(text + length - 8) >> (8 * (from + 8 - length));
    uint64_t word = 0;
    for (size_t i = length; i-- > from;) word = word << 8 | (uint8_t)text[i];
    return word;
}

#define BYTES_OF(byte) ((byte) * UINT64_C(0x0101010101010101))
#define QUERY_WORDS 3 /* of eight characters: numbers have at most NUMBER_DIGITS_MAX + 2 */

/* What the digits add to the check sum, up to a multiple of ten. Eight digits a word; `odd` masks
 * those at odd places from the right. */
static inline unsigned words_sum(const uint64_t *word, uint64_t odd, int check) {
    const uint64_t lanes = UINT64_C(0x00FF00FF00FF00FF);
    uint64_t even_sums = 0, odd_sums = 0, over_four = 0; /* in four lanes of 16 bits */
    for (int i = 0; i < QUERY_WORDS; i++) {
        const uint64_t at_odd = word[i] & odd, at_even = word[i] & ~odd;
        const uint64_t over = ((at_odd + BYTES_OF(123)) >> 7) & BYTES_OF(1); /* 5 + 123 is 128 */
        even_sums += (at_even & lanes) + ((at_even >> 8) & lanes);
        odd_sums += (at_odd & lanes) + ((at_odd >> 8) & lanes);
        over_four += (over & lanes) + ((over >> 8) & lanes);
    }
    const uint64_t add_up = UINT64_C(0x0001000100010001);
    const unsigned even = (unsigned)((even_sums * add_up) >> 48), odds = (unsigned)((odd_sums * add_up) >> 48);
    if (check == CHECK_NONE) return 0;
    if (check == CHECK_GS1) return even + 3 * odds;
    return even + 2 * odds - 9 * (unsigned)((over_four * add_up) >> 48);
}

/* Reads digits and unreadable ones, which count as zeros and whose places from the right are noted;
 * false when there is anything else. Works on eight characters at a time. */
static int near_digits(const char *text, size_t length, int check, digits *q, uint8_t *place, int *opens) {
    uint64_t word[QUERY_WORDS], strange = 0;
    *opens = 0;
    if (length == 0 || length > NUMBER_DIGITS_MAX + 2) return 0;
    q->n = (int)length;
    for (size_t i = 0; i < QUERY_WORDS; i++) {
        const size_t here = length <= 8 * i ? 0 : length - 8 * i;
        const uint64_t used = here >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * here)) - 1;
        const uint64_t padded = bytes_from(text, length, 8 * i) | (BYTES_OF('0') & ~used);
        strange |= not_eight_digits(padded);
        word[i] = padded - BYTES_OF('0');
    }
    if (strange) {
        uint8_t digit[8 * QUERY_WORDS] = {0};
        for (size_t i = 0; i < length; i++) {
            digit[i] = (uint8_t)(text[i] - '0');
            if (digit[i] <= 9) continue;
            if (text[i] != '?' || *opens == UNREADABLE_MAX) return 0;
            place[(*opens)++] = (uint8_t)(length - 1 - i);
            digit[i] = 0;
        }
        memcpy(word, digit, sizeof word);
    }
    const uint64_t odd = UINT64_C(0x00FF00FF00FF00FF) << (length & 1 ? 8 : 0); /* places count from the right */
    for (size_t i = 0; i < QUERY_WORDS; i++) {
        const uint64_t rows = word[i] + (odd & BYTES_OF(10));
        memcpy(q->digit + 8 * i, word + i, 8);
        memcpy(q->row + 8 * i, &rows, 8);
    }
    q->sum = words_sum(word, odd, check);
    if (length <= 8) q->value = eight_values(word[0] << (64 - 8 * length));
    else if (length <= 16)
        q->value = eight_values(word[0]) * POWER_OF_TEN[length - 8] + eight_values(word[1] << (128 - 8 * length));
    else
        q->value = (eight_values(word[0]) * 100000000 + eight_values(word[1])) * POWER_OF_TEN[length - 16] +
                   eight_values(word[2] << (192 - 8 * length));
    return 1;
}

static void near_numbers(near_search *s, const char *text, size_t length, int errors) {
    digits q;
    uint8_t place[UNREADABLE_MAX];
    int opens;
    if (!near_digits(text, length, s->domain->check, &q, place, &opens)) return;
    if (opens) {
        if (allows(s->domain, q.n)) near_unreadable(s, place, opens, FIRST_KEY[q.n] + q.value, q.sum % 10);
    } else {
        near_one(s, &q, 0, 0);
        if (errors == 2) near_two(s, &q);
    }
    near_flush(s);
}

#endif
