/* What is said of rows before they are folded, many at a time: where persons begin, whether times and
 * days ascend, whether codes are known. Processors with AVX2 say it of eight rows at once.
 */
#ifndef KLANTREIS_AHEAD_H
#define KLANTREIS_AHEAD_H

#include "fold.h"

/* All give the same; tests choose. */
enum how { BY_EIGHTS, BY_ONES, BY_ALL_RULES };
static enum how how = BY_EIGHTS;

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define MAY_HAVE_AVX2 1
static inline int has_avx2(void) { return how == BY_EIGHTS && __builtin_cpu_supports("avx2"); }
#else
#define MAY_HAVE_AVX2 0
#endif

#define ROWS_AT_ONCE 2048  /* are looked at, then folded */
#define FETCH_AHEAD 3072   /* rows: so far ahead of the fold they are asked for */

typedef struct {
    int64_t looked;    /* the rows before it were looked at */
    int64_t doubtful;  /* of rows before it, the times or days of a person may descend */
    int64_t n, next;
    int64_t begins[ROWS_AT_ONCE];  /* where persons begin, from `next` on */
} Ahead;

#define FETCHED_AT_ONCE 64
#define LINE_BYTES 64

INLINE void fetch_lines(const void *column, int64_t row, int width) {
    const char *at = (const char *)column + row * width;
    for (int line = 0; line < FETCHED_AT_ONCE * width / LINE_BYTES; line++) __builtin_prefetch(at + line * LINE_BYTES, 0, 2);
}

/* Asks for rows that are folded later: nothing waits for memory then. */
static inline void fetch_rows(const Rows *c, int64_t row) {
    fetch_lines(c->person, row, 8);
    fetch_lines(c->at_ms, row, 8);
    fetch_lines(c->amount_cents, row, 8);
    fetch_lines(c->day, row, 4);
    fetch_lines(c->value, row, 4);
    fetch_lines(c->belongs, row, 4);
    fetch_lines(c->caused, row, 4);
    fetch_lines(c->kind, row, 2);
    fetch_lines(c->channel, row, 2);
    fetch_lines(c->store, row, 2);
    fetch_lines(c->joins, row, 1);
}

/* Whether the codes of the rows are known. */
static int rows_fault(const Rules *r, const Rows *c, int64_t from, int64_t to) {
    uint16_t kind = 0, channel = 0, store = 0;
    for (int64_t i = from; i < to; i++) kind = c->kind[i] > kind ? c->kind[i] : kind;
    for (int64_t i = from; i < to; i++) channel = c->channel[i] > channel ? c->channel[i] : channel;
    for (int64_t i = from; i < to; i++) store = c->store[i] > store ? c->store[i] : store;
    if (from < to && kind >= r->kinds) return BAD_KIND;
    if (from < to && channel >= r->channels) return BAD_CHANNEL;
    if (from < to && store >= r->stores) return BAD_STORE;
    return FINE;
}

/* The rows [from, to), each after another; whether something descends. */
static int look_at_each(Ahead *h, const Rows *c, int64_t from, int64_t to) {
    int descends = 0;
    for (int64_t i = from; i < to; i++) {
        if (c->person[i] != c->person[i - 1]) h->begins[h->n++] = i;
        else descends |= (c->at_ms[i] < c->at_ms[i - 1]) | (c->day[i] < c->day[i - 1]);
    }
    return descends;
}

/* The days of the purchases among n rows, in a row; with no days their row numbers. How many. */
static int32_t pack_each(int32_t *found, const uint16_t *kind, const int32_t *day, int64_t n, int32_t purchase) {
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        found[count] = day ? day[i] : (int32_t)i;
        count += kind[i] == purchase;
    }
    return count;
}

/* What can be said of a row of a person before those before it are known. */
#define VALUED 1
#define CAUSED 2
#define FOLLOWS 4     /* the row before is the purchase it refers to */
#define JOINS 8       /* is of the event of the row before */
#define IS_JOINED 16  /* the row after is of its event */

/* Of the rows [i, n) of a person of n rows; the first row that one of them belongs to, or `least`. */
static int32_t look_at_each_of(uint32_t *look, const Rows *c, int64_t a, int64_t i, int64_t n, int32_t least) {
    const int32_t *value = c->value + a, *caused = c->caused + a, *belongs = c->belongs + a;
    const uint8_t *joins = c->joins + a;
    for (; i < n; i++) {
        int32_t of = belongs[i] > 0 ? (int32_t)i - belongs[i] : (int32_t)i;
        least = of < least ? of : least;
        look[i] = (uint32_t)((value[i] != NO_VALUE) | (caused[i] > 0) << 1 | (belongs[i] == 1) << 2
                             | (joins[i] != 0) << 3 | (i + 1 < n && joins[i + 1]) << 4);
    }
    return least;
}

#if MAY_HAVE_AVX2
#define EIGHT(address) _mm256_loadu_si256((const __m256i *)(const void *)(address))

__attribute__((target("avx2"))) static inline unsigned four_masked(__m256i four) {
    return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(four));
}

/* look_at_each. */
__attribute__((target("avx2"))) static int look_at_eight(Ahead *h, const Rows *c, int64_t from, int64_t to) {
    unsigned descends = 0;
    int64_t i = from, n = h->n;
    for (; i + 8 <= to; i += 8) {
        const int64_t *person = c->person + i, *at = c->at_ms + i;
        const int32_t *day = c->day + i;
        unsigned same = four_masked(_mm256_cmpeq_epi64(EIGHT(person), EIGHT(person - 1)))
            | four_masked(_mm256_cmpeq_epi64(EIGHT(person + 4), EIGHT(person + 3))) << 4;
        unsigned earlier = four_masked(_mm256_cmpgt_epi64(EIGHT(at - 1), EIGHT(at)))
            | four_masked(_mm256_cmpgt_epi64(EIGHT(at + 3), EIGHT(at + 4))) << 4;
        __m256i days = _mm256_cmpgt_epi32(EIGHT(day - 1), EIGHT(day));
        descends |= (earlier | (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(days))) & same;
        for (unsigned others = same ^ 0xff; others; others &= others - 1)
            h->begins[n++] = i + __builtin_ctz(others);
    }
    h->n = n;
    return (int)descends | look_at_each(h, c, i, to);
}

/* pack_each. `packing`: of each set of eight places, those that are in it, in a row. */
__attribute__((target("avx2,popcnt"))) static int32_t pack_eight(
    int32_t *found, const uint16_t *kind, const int32_t *day, int64_t n, int32_t purchase, const uint64_t *packing) {
    const __m128i wanted = _mm_set1_epi16((short)purchase);
    int32_t count = 0;
    unsigned all = 0xff;
    if (n < 8) return pack_each(found, kind, day, n, purchase);
    for (int64_t i = 0; i < n; i += 8) {
        if (i > n - 8) all <<= i - (n - 8), i = n - 8;  /* the last eight, less those that are through */
        __m128i is_wanted = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)(const void *)(kind + i)), wanted);
        unsigned in = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(is_wanted, _mm_setzero_si128())) & all;
        __m256i places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)packing[in]));
        __m256i eight = day ? _mm256_permutevar8x32_epi32(EIGHT(day + i), places)
                            : _mm256_add_epi32(places, _mm256_set1_epi32((int)i));
        _mm256_storeu_si256((__m256i *)(void *)(found + count), eight);
        count += __builtin_popcount(in);
    }
    return count;
}

/* look_at_each_of. Eight at a time, the last of which may be looked at twice. */
__attribute__((target("avx2"))) static int32_t look_at_eight_of(uint32_t *look, const Rows *c, int64_t a, int64_t i,
                                                                int64_t n, int32_t least) {
    const int32_t *value = c->value + a, *caused = c->caused + a, *belongs = c->belongs + a;
    const uint8_t *joins = c->joins + a;
    const __m256i none = _mm256_setzero_si256();
    if (n - i < 9) return look_at_each_of(look, c, a, i, n, least);
    __m256i from = _mm256_set1_epi32(least);
    for (; i < n - 1; i += 8) {
        if (i > n - 9) i = n - 9;
        __m256i back = EIGHT(belongs + i);
        __m256i valued = _mm256_cmpeq_epi32(EIGHT(value + i), _mm256_set1_epi32(NO_VALUE));
        __m256i seen = _mm256_andnot_si256(valued, _mm256_set1_epi32(VALUED));
        __m256i was_caused = _mm256_cmpgt_epi32(EIGHT(caused + i), none);
        seen = _mm256_or_si256(seen, _mm256_and_si256(was_caused, _mm256_set1_epi32(CAUSED)));
        __m256i follows = _mm256_cmpeq_epi32(back, _mm256_set1_epi32(1));
        seen = _mm256_or_si256(seen, _mm256_and_si256(follows, _mm256_set1_epi32(FOLLOWS)));
        __m256i joined = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(joins + i)));
        joined = _mm256_cmpgt_epi32(joined, none);
        seen = _mm256_or_si256(seen, _mm256_and_si256(joined, _mm256_set1_epi32(JOINS)));
        joined = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(joins + i + 1)));
        joined = _mm256_cmpgt_epi32(joined, none);
        seen = _mm256_or_si256(seen, _mm256_and_si256(joined, _mm256_set1_epi32(IS_JOINED)));
        _mm256_storeu_si256((__m256i *)(void *)(look + i), seen);
        __m256i row = _mm256_add_epi32(_mm256_set1_epi32((int)i), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        from = _mm256_min_epi32(from, _mm256_sub_epi32(row, _mm256_max_epi32(back, none)));
    }
    __m128i four = _mm_min_epi32(_mm256_castsi256_si128(from), _mm256_extracti128_si256(from, 1));
    four = _mm_min_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_min_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return look_at_each_of(look, c, a, n - 1, n, _mm_cvtsi128_si32(four));
}
#endif

/* `packing` of `pack_eight_days`. */
static inline void fill_packing(uint64_t *packing) {
    for (unsigned in = 0; in < 256; in++) {
        packing[in] = 0;
        for (unsigned place = 0, k = 0; place < 8; place++)
            if (in >> place & 1) packing[in] |= (uint64_t)place << 8 * k++;
    }
}

/* pack_each. `found` has room for n + 8. */
static inline int32_t pack(int32_t *found, const uint16_t *kind, const int32_t *day, int64_t n, int32_t purchase,
                           const uint64_t *packing) {
#if MAY_HAVE_AVX2
    if (has_avx2()) return pack_eight(found, kind, day, n, purchase, packing);
#endif
    return pack_each(found, kind, day, n, purchase);
}

/* look_at_each_of. */
static inline int32_t look_at(uint32_t *look, const Rows *c, int64_t a, int64_t i, int64_t n, int32_t least) {
#if MAY_HAVE_AVX2
    if (has_avx2()) return look_at_eight_of(look, c, a, i, n, least);
#endif
    return look_at_each_of(look, c, a, i, n, least);
}

/* Looks at the next of the rows [first, to). */
static void look_ahead(Ahead *h, const Rows *c, int64_t first, int64_t to) {
    int64_t from = h->looked, end = to - from > ROWS_AT_ONCE ? from + ROWS_AT_ONCE : to;
    int descends;
    from += from == first;
    h->n = h->next = 0;
#if MAY_HAVE_AVX2
    if (has_avx2()) descends = look_at_eight(h, c, from, end);
    else
#endif
        descends = look_at_each(h, c, from, end);
    if (descends) h->doubtful = end;
    h->looked = end;
}

/* How many of the days, which ascend, are before `day`. */
static inline int64_t days_before(const int32_t *days, int64_t n, int32_t day) {
    const int32_t *first = days;
    while (n > 1) {
        int64_t half = n / 2;
        first += half & -(int64_t)(first[half - 1] < day);  /* no branch: it cannot be foretold */
        n -= half;
    }
    return first - days + (n == 1 && *first < day);
}

#endif
