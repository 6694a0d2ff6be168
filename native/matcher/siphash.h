/* SipHash-1-3: one compression round a word, three final rounds (Aumasson and Bernstein,
 * "SipHash: a fast short-input PRF", 2012). Messages are little-endian, as in the paper. */
#ifndef MATCHER_SIPHASH_H
#define MATCHER_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t k0, k1;
} siphash_key;

typedef struct {
    uint64_t v0, v1, v2, v3;
} siphash_state;

static inline uint64_t rotate_left(uint64_t x, int bits) {
    return (x << bits) | (x >> (64 - bits));
}

static inline void siphash_round(siphash_state *s) {
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

static inline siphash_state siphash_start(siphash_key key) {
    siphash_state s = {
        key.k0 ^ UINT64_C(0x736f6d6570736575),
        key.k1 ^ UINT64_C(0x646f72616e646f6d),
        key.k0 ^ UINT64_C(0x6c7967656e657261),
        key.k1 ^ UINT64_C(0x7465646279746573),
    };
    return s;
}

static inline void siphash_word(siphash_state *s, uint64_t word) {
    s->v3 ^= word;
    siphash_round(s);
    s->v0 ^= word;
}

static inline uint64_t siphash_end(siphash_state *s) {
    s->v2 ^= 0xff;
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* The hash of the eight bytes of `number`. */
static inline uint64_t siphash_number(siphash_key key, uint64_t number) {
    siphash_state s = siphash_start(key);
    siphash_word(&s, number);
    siphash_word(&s, UINT64_C(8) << 56);
    return siphash_end(&s);
}

static inline uint64_t siphash_bytes(siphash_key key, const char *data, size_t length) {
    siphash_state s = siphash_start(key);
    uint64_t word = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        memcpy(&word, data + i, 8);
        siphash_word(&s, word);
    }
    word = (uint64_t)length << 56;
    for (size_t j = 0; i + j < length; j++) word |= (uint64_t)(uint8_t)data[i + j] << (8 * j);
    siphash_word(&s, word);
    return siphash_end(&s);
}

/* ---- many numbers: four at once where the processor can (AVX2), which it is asked at run time ---- */

#define SIPHASH_GROUP 4

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__)) && !defined(MATCHER_PORTABLE)
#define MATCHER_AVX2
#include <immintrin.h>

#define FOUR_OF(x) _mm256_set1_epi64x((long long)(x))
#define ROTATE_FOUR(x, bits) _mm256_or_si256(_mm256_slli_epi64(x, bits), _mm256_srli_epi64(x, 64 - (bits)))
#define SIPHASH_ROUND_FOUR(v0, v1, v2, v3)                     \
    do {                                                       \
        v0 = _mm256_add_epi64(v0, v1);                         \
        v2 = _mm256_add_epi64(v2, v3);                         \
        v1 = _mm256_xor_si256(ROTATE_FOUR(v1, 13), v0);        \
        v3 = _mm256_xor_si256(_mm256_shuffle_epi8(v3, by_16), v2); \
        v0 = _mm256_shuffle_epi32(v0, 0xB1);                   \
        v2 = _mm256_add_epi64(v2, v1);                         \
        v0 = _mm256_add_epi64(v0, v3);                         \
        v1 = _mm256_xor_si256(ROTATE_FOUR(v1, 17), v2);        \
        v3 = _mm256_xor_si256(ROTATE_FOUR(v3, 21), v0);        \
        v2 = _mm256_shuffle_epi32(v2, 0xB1);                   \
    } while (0)

/* The same steps as siphash_number, in four lanes. A rotation by 32 or 16 is a shuffle. */
__attribute__((target("avx2"))) static inline __m256i siphash_four(const siphash_state *start, __m256i word) {
    const __m256i length = FOUR_OF(UINT64_C(8) << 56);
    const __m256i by_16 = _mm256_setr_epi8(6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13, 6, 7, 0, 1,
                                           2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13);
    __m256i v0 = FOUR_OF(start->v0), v1 = FOUR_OF(start->v1);
    __m256i v2 = FOUR_OF(start->v2), v3 = _mm256_xor_si256(FOUR_OF(start->v3), word);
    SIPHASH_ROUND_FOUR(v0, v1, v2, v3);
    v0 = _mm256_xor_si256(v0, word);
    v3 = _mm256_xor_si256(v3, length);
    SIPHASH_ROUND_FOUR(v0, v1, v2, v3);
    v0 = _mm256_xor_si256(v0, length);
    v2 = _mm256_xor_si256(v2, FOUR_OF(0xff));
    SIPHASH_ROUND_FOUR(v0, v1, v2, v3);
    SIPHASH_ROUND_FOUR(v0, v1, v2, v3);
    SIPHASH_ROUND_FOUR(v0, v1, v2, v3);
    return _mm256_xor_si256(_mm256_xor_si256(v0, v1), _mm256_xor_si256(v2, v3));
}

__attribute__((target("avx2"))) static inline void siphash_numbers_avx2(siphash_key key, const uint64_t *numbers,
                                                                        uint64_t *hashes, int n) {
    const siphash_state start = siphash_start(key);
    for (int i = 0; i < n; i += SIPHASH_GROUP) {
        const __m256i words = _mm256_loadu_si256((const __m256i *)(numbers + i));
        _mm256_storeu_si256((__m256i *)(hashes + i), siphash_four(&start, words));
    }
}

static inline int has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}
#endif

/* Hashes `n` numbers. Both arrays have room for a multiple of SIPHASH_GROUP; what is beyond `n` is
 * read and written, and means nothing. */
static inline void siphash_numbers(siphash_key key, const uint64_t *numbers, uint64_t *hashes, int n) {
#ifdef MATCHER_AVX2
    if (has_avx2()) {
        siphash_numbers_avx2(key, numbers, hashes, n);
        return;
    }
#endif
    for (int i = 0; i < n; i++) hashes[i] = siphash_number(key, numbers[i]);
}

#endif
