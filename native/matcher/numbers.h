/* Numbers of 1 to 19 digits, leading zeros kept, as one u64 key each: all numbers of length 1
 * first, then all of length 2, and so on. The map is injective: 10^19 + (10^19 - 1) / 9 < 2^64. */
#ifndef MATCHER_NUMBERS_H
#define MATCHER_NUMBERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 19

enum check_kind { CHECK_NONE = 0, CHECK_GS1 = 1, CHECK_LUHN = 2 };

/* 10^20 and 10^21 are taken modulo 2^64: sums of digits times powers stay exact modulo 2^64, and
 * every number that is looked up in the end fits. */
static const uint64_t POWER_OF_TEN[22] = {
    UINT64_C(1), UINT64_C(10), UINT64_C(100), UINT64_C(1000), UINT64_C(10000), UINT64_C(100000),
    UINT64_C(1000000), UINT64_C(10000000), UINT64_C(100000000), UINT64_C(1000000000),
    UINT64_C(10000000000), UINT64_C(100000000000), UINT64_C(1000000000000),
    UINT64_C(10000000000000), UINT64_C(100000000000000), UINT64_C(1000000000000000),
    UINT64_C(10000000000000000), UINT64_C(100000000000000000), UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000), UINT64_C(7766279631452241920), UINT64_C(3875820019684212736),
};

/* 9 * 10^place: what swapping neighbours that differ by one changes. */
static const uint64_t NINE_TIMES_POWER[NUMBER_DIGITS_MAX] = {
    UINT64_C(9), UINT64_C(90), UINT64_C(900), UINT64_C(9000), UINT64_C(90000), UINT64_C(900000),
    UINT64_C(9000000), UINT64_C(90000000), UINT64_C(900000000), UINT64_C(9000000000),
    UINT64_C(90000000000), UINT64_C(900000000000), UINT64_C(9000000000000),
    UINT64_C(90000000000000), UINT64_C(900000000000000), UINT64_C(9000000000000000),
    UINT64_C(90000000000000000), UINT64_C(900000000000000000), UINT64_C(9000000000000000000),
};

/* How many numbers are shorter than `length` digits. */
static const uint64_t FIRST_KEY[NUMBER_DIGITS_MAX + 2] = {
    UINT64_C(0), UINT64_C(0), UINT64_C(10), UINT64_C(110), UINT64_C(1110), UINT64_C(11110),
    UINT64_C(111110), UINT64_C(1111110), UINT64_C(11111110), UINT64_C(111111110),
    UINT64_C(1111111110), UINT64_C(11111111110), UINT64_C(111111111110), UINT64_C(1111111111110),
    UINT64_C(11111111111110), UINT64_C(111111111111110), UINT64_C(1111111111111110),
    UINT64_C(11111111111111110), UINT64_C(111111111111111110), UINT64_C(1111111111111111110),
    UINT64_MAX,
};

/* What a digit adds to the check sum, by [check][parity of its place from the right][digit]. */
static const uint8_t CHECK_SHARE[3][2][10] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 3, 6, 9, 2, 5, 8, 1, 4, 7}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 2, 4, 6, 8, 1, 3, 5, 7, 9}},
};

/* The digit that adds that share: the inverse of CHECK_SHARE. */
static const uint8_t CHECK_DIGIT[3][2][10] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 7, 4, 1, 8, 5, 2, 9, 6, 3}},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 5, 1, 6, 2, 7, 3, 8, 4, 9}},
};

static inline uint64_t eight_bytes(const char *text) {
    uint64_t word;
    memcpy(&word, text, 8);
    return word;
}

/* Zero when each of the eight bytes is an ASCII digit. */
static inline uint64_t not_eight_digits(uint64_t word) {
    const uint64_t high = UINT64_C(0xF0F0F0F0F0F0F0F0), threes = UINT64_C(0x3030303030303030);
    return ((word & high) ^ threes) | (((word + UINT64_C(0x0606060606060606)) & high) ^ threes);
}

/* The value of eight digits, a byte each, the first in the lowest: pairs, then fours, then all. */
static inline uint64_t eight_values(uint64_t word) {
    const uint64_t fours = UINT64_C(0x000000FF000000FF);
    word = word * 10 + (word >> 8);
    return ((word & fours) * (100 + (UINT64_C(1000000) << 32)) +
            ((word >> 16) & fours) * (1 + (UINT64_C(10000) << 32))) >> 32;
}

static inline uint64_t eight_digits(uint64_t word) {
    return eight_values(word - UINT64_C(0x3030303030303030));
}

/* The key of a number of `length` ASCII digits; false when it is not one. */
static inline int number_key(const char *text, size_t length, uint64_t *key) {
    uint64_t value = 0;
    size_t i = 0;
    if (length == 0 || length > NUMBER_DIGITS_MAX) return 0;
    if (length >= 8) {
        uint64_t word = eight_bytes(text);
        if (not_eight_digits(word)) return 0;
        value = eight_digits(word);
        i = 8;
        if (length >= 16) {
            word = eight_bytes(text + 8);
            if (not_eight_digits(word)) return 0;
            value = value * 100000000u + eight_digits(word);
            i = 16;
        } else if (length > 8) {
            /* the last eight digits overlap the first ones: zeros stand in for those read twice */
            const unsigned twice = (unsigned)(16 - length) * 8;
            const uint64_t mask = (UINT64_C(1) << twice) - 1;
            word = eight_bytes(text + length - 8);
            if (not_eight_digits(word)) return 0;
            word = (word & ~mask) | (UINT64_C(0x3030303030303030) & mask);
            *key = FIRST_KEY[length] + value * POWER_OF_TEN[length - 8] + eight_digits(word);
            return 1;
        }
    }
    for (; i < length; i++) {
        const uint8_t digit = (uint8_t)(text[i] - '0');
        if (digit > 9) return 0;
        value = value * 10 + digit;
    }
    *key = FIRST_KEY[length] + value;
    return 1;
}

/* ---- the digits of a Python text, in front of which its header stands ---- */

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__)) && !defined(MATCHER_PORTABLE)
#define MATCHER_SSE4
#include <immintrin.h>

#define TEXT_DIGITS 16

/* From [length] on: nothing of the bytes before a number of that length, all of its digits. */
static const uint8_t DIGITS_OF[2 * TEXT_DIGITS] = {
    [16] = 255, [17] = 255, [18] = 255, [19] = 255, [20] = 255, [21] = 255, [22] = 255, [23] = 255,
    [24] = 255, [25] = 255, [26] = 255, [27] = 255, [28] = 255, [29] = 255, [30] = 255, [31] = 255,
};

/* `number_key` for at most TEXT_DIGITS digits that end 16 readable bytes: as pairs, fours, eights. */
__attribute__((target("sse4.1"))) static int number_key_sse4(const char *text, size_t length, uint64_t *key) {
    const __m128i tens = _mm_set1_epi16(0x010A), hundreds = _mm_set1_epi32(0x00010064);
    const __m128i myriads = _mm_set1_epi32(0x00012710);
    __m128i digits = _mm_loadu_si128((const __m128i *)(const void *)(text + length - TEXT_DIGITS));
    const __m128i wanted = _mm_loadu_si128((const __m128i *)(const void *)(DIGITS_OF + length));
    digits = _mm_and_si128(_mm_sub_epi8(digits, _mm_set1_epi8('0')), wanted);
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits)) != 0xFFFF) return 0;
    const __m128i fours = _mm_madd_epi16(_mm_maddubs_epi16(digits, tens), hundreds);
    const __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), myriads);
    const uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    *key = FIRST_KEY[length] + (both & UINT32_MAX) * 100000000u + (both >> 32);
    return 1;
}
#endif

/* `number_key` of a text that at least 16 readable bytes stand in front of. */
static inline int text_number_key(const char *text, size_t length, uint64_t *key) {
#ifdef MATCHER_SSE4
    if (length - 1 < TEXT_DIGITS && __builtin_cpu_supports("sse4.1")) return number_key_sse4(text, length, key);
#endif
    return number_key(text, length, key);
}

/* How many digits a key's number has. */
static inline int number_length(uint64_t key) {
    int length = 1;
    for (int i = 2; i <= NUMBER_DIGITS_MAX; i++) length += key >= FIRST_KEY[i];
    return length;
}

/* Writes the digits of a key's number, no end mark; eight at a time, so that divisions overlap. */
static inline void number_text(uint64_t key, int length, char *text) {
    uint64_t value = key - FIRST_KEY[length];
    for (int end = length; end > 0; end -= 8) {
        uint32_t part = (uint32_t)(value % 100000000);
        value /= 100000000;
        for (int i = end - 1; i >= 0 && i >= end - 8; i--) {
            text[i] = (char)('0' + part % 10);
            part /= 10;
        }
    }
}

/* Check shares of four digits at once: places 0 to 3 from the right, value 0 to 9999. */
typedef struct {
    uint8_t share[2][10000];
} check_table;

static inline void check_table_fill(check_table *table) {
    for (int check = CHECK_GS1; check <= CHECK_LUHN; check++)
        for (int i = 0; i < 10000; i++) {
            int v = i, sum = 0;
            for (int place = 0; place < 4; place++, v /= 10)
                sum += CHECK_SHARE[check][place & 1][v % 10];
            table->share[check - 1][i] = (uint8_t)(sum % 10);
        }
}

/* Whether the last digit of `value` is the check digit that belongs there. Leading zeros add
 * nothing, so the length does not matter. */
static inline int check_digit_fits(const check_table *table, int check, uint64_t value) {
    if (check == CHECK_NONE) return 1;
    const uint8_t *share = table->share[check - 1];
    const uint32_t low = (uint32_t)(value % 100000000), middle = (uint32_t)(value / 100000000 % 100000000);
    const unsigned high = (unsigned)(value / UINT64_C(10000000000000000));
    return (share[low % 10000] + share[low / 10000] + share[middle % 10000] + share[middle / 10000] + share[high]) %
               10 == 0;
}

#endif
