/* What overlay.h does with a batch, four lanes at a time, for processors that have AVX2. */
#ifndef MATCHER_OVERLAY_AVX2_H
#define MATCHER_OVERLAY_AVX2_H

#define FOUR_AT(address) _mm256_loadu_si256((const __m256i *)(uintptr_t)(address))
#define FOUR_TO(address, four) _mm256_storeu_si256((__m256i *)(address), four)

/* siphash_number and batch_place. The first lines are asked for as soon as all are known, with next to
 * nothing in between: a processor works on few hundred instructions at a time, and only on so many
 * address translations as there are among these. */
__attribute__((target("avx2"))) static void batch_fetch_numbers_avx2(
    batch *b, const table *t, siphash_key key, const uint64_t *numbers, int n) {
    const siphash_state start = siphash_start(key);
    const __m256i pages = FOUR_OF(t->pages), lines = FOUR_OF((uintptr_t)t->lines);
    const __m256i one = FOUR_OF(1), in_page = FOUR_OF(PAGE_LINES - 1);
    const uint64_t *overflow = (const uint64_t *)(const void *)t->overflow; /* 64 lines of a page */
    const uint8_t *lines_state = t->lines_state;
    const int from = b->n;
    int seconds = b->seconds;
    uint8_t states = b->states;
    for (int i = from; i < n; i += SIPHASH_GROUP) {
        const __m256i hash = siphash_four(&start, FOUR_AT(numbers + i));
        const __m256i scaled = _mm256_mul_epu32(_mm256_srli_epi64(hash, 32), pages);
        const __m256i line = _mm256_srli_epi64(scaled, 26);
        const __m256i apart = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi64(scaled, 20), in_page), one);
        FOUR_TO(b->hash + i, hash);
        const __m256i first = _mm256_add_epi64(lines, _mm256_slli_epi64(line, 6));
        FOUR_TO(b->line_a + i, first);
        FOUR_TO(b->line_b + i, _mm256_xor_si256(first, _mm256_slli_epi64(apart, 6))); /* lines start at a page */
        FOUR_TO(b->line + i, line);
    }
    for (int i = from; i < n; i++) PREFETCH((const char *)(uintptr_t)b->line_a[i]);
    for (int i = from; i < n; i++) {
        const uint64_t line = b->line[i], page = line / PAGE_LINES;
        uint64_t overflows = (overflow[page] >> (line % PAGE_LINES)) & 1;
        UNGUESSED(overflows);
        const uint64_t first = b->line_a[i];
        PREFETCH((const char *)(uintptr_t)(first ^ ((first ^ b->line_b[i]) & (0 - overflows))));
        b->second[seconds] = (uint8_t)i;
        seconds += (int)overflows;
        states |= lines_state[page];
    }
    b->states = states;
    b->seconds = seconds;
    b->n = n;
}

/* batch_compare_first, eight slots at a time. Most find nobody. */
__attribute__((target("avx2"))) static void batch_compare_first_avx2(batch *b) {
    for (int i = 0; i < b->n; i++) {
        const __m256i wanted = _mm256_set1_epi32((int)(uint32_t)b->hash[i]);
        const uint64_t a = b->line_a[i];
        const __m256i answers =
            _mm256_and_si256(_mm256_cmpeq_epi32(FOUR_AT(a), wanted), FOUR_AT(a + LINE_BYTES / 2));
        b->stored[i] = STORED_NOTHING;
        if (_mm256_testz_si256(answers, answers)) continue;
        const __m128i four = _mm_or_si128(_mm256_castsi256_si128(answers), _mm256_extracti128_si256(answers, 1));
        const __m128i two = _mm_or_si128(four, _mm_unpackhi_epi64(four, four));
        const uint64_t both = (uint64_t)_mm_cvtsi128_si64(two);
        batch_found(b, i, (uint32_t)(both | both >> 32));
    }
}

#endif
