/* BLAKE2b with a key of 16 bytes and a digest of 16: RFC 7693, sections 2.5 to 3.3. */
#ifndef LOG_BLAKE2B_H
#define LOG_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLAKE2B_BLOCK = 128, BLAKE2B_ROUNDS = 12, CHAIN_BYTES = 16 };

static const uint64_t blake2b_iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static inline uint64_t blake2b_word(const uint8_t *at) {
    uint64_t word = 0;
    for (int byte = 7; byte >= 0; byte--) {
        word = (word << 8) | at[byte];
    }
    return word;
}

static inline uint64_t blake2b_right(uint64_t x, int bits) {
    return (x >> bits) | (x << (64 - bits));
}

#define BLAKE2B_MIX(a, b, c, d, x, y)       \
    do {                                    \
        a += b + m[x];                      \
        d = blake2b_right(d ^ a, 32);       \
        c += d;                             \
        b = blake2b_right(b ^ c, 24);       \
        a += b + m[y];                      \
        d = blake2b_right(d ^ a, 16);       \
        c += d;                             \
        b = blake2b_right(b ^ c, 63);       \
    } while (0)

/* The order of the words is written out: a table of it would be looked up 192 times a block. */
#define BLAKE2B_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf) \
    do {                                                                              \
        BLAKE2B_MIX(v0, v4, v8, v12, s0, s1);                                         \
        BLAKE2B_MIX(v1, v5, v9, v13, s2, s3);                                         \
        BLAKE2B_MIX(v2, v6, v10, v14, s4, s5);                                        \
        BLAKE2B_MIX(v3, v7, v11, v15, s6, s7);                                        \
        BLAKE2B_MIX(v0, v5, v10, v15, s8, s9);                                        \
        BLAKE2B_MIX(v1, v6, v11, v12, sa, sb);                                        \
        BLAKE2B_MIX(v2, v7, v8, v13, sc, sd);                                         \
        BLAKE2B_MIX(v3, v4, v9, v14, se, sf);                                         \
    } while (0)

static inline void blake2b_block(uint64_t *h, const uint8_t *block, uint64_t counted, int is_last) {
    uint64_t m[16];
    for (int word = 0; word < 16; word++) {
        m[word] = blake2b_word(block + 8 * word);
    }
    uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3];
    uint64_t v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
    uint64_t v8 = blake2b_iv[0], v9 = blake2b_iv[1], v10 = blake2b_iv[2], v11 = blake2b_iv[3];
    uint64_t v12 = blake2b_iv[4] ^ counted, v13 = blake2b_iv[5];
    uint64_t v14 = is_last ? ~blake2b_iv[6] : blake2b_iv[6], v15 = blake2b_iv[7];
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    BLAKE2B_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    BLAKE2B_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    BLAKE2B_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    BLAKE2B_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    BLAKE2B_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    BLAKE2B_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    BLAKE2B_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    BLAKE2B_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    BLAKE2B_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    BLAKE2B_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    h[0] ^= v0 ^ v8;
    h[1] ^= v1 ^ v9;
    h[2] ^= v2 ^ v10;
    h[3] ^= v3 ^ v11;
    h[4] ^= v4 ^ v12;
    h[5] ^= v5 ^ v13;
    h[6] ^= v6 ^ v14;
    h[7] ^= v7 ^ v15;
}

/* `hash` becomes the hash of the `size` bytes of `data`, keyed by what it was. */
static inline void chain_on(uint8_t *hash, const uint8_t *data, size_t size) {
    uint64_t h[8], counted = BLAKE2B_BLOCK;
    uint8_t block[BLAKE2B_BLOCK] = {0};
    memcpy(h, blake2b_iv, sizeof h);
    h[0] ^= 0x01010000 ^ (CHAIN_BYTES << 8) ^ CHAIN_BYTES;
    memcpy(block, hash, CHAIN_BYTES);
    blake2b_block(h, block, counted, size == 0);
    while (size > BLAKE2B_BLOCK) {
        counted += BLAKE2B_BLOCK;
        blake2b_block(h, data, counted, 0);
        data += BLAKE2B_BLOCK;
        size -= BLAKE2B_BLOCK;
    }
    if (size > 0) {
        memset(block, 0, sizeof block);
        memcpy(block, data, size);
        blake2b_block(h, block, counted + size, 1);
    }
    for (int byte = 0; byte < CHAIN_BYTES; byte++) {
        hash[byte] = (uint8_t)(h[byte / 8] >> (8 * (byte % 8)));
    }
}

#endif
