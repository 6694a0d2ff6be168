/* A tally as bytes and back: varints, zeros run-length; tally.pyx puts a digest before and after. */
#ifndef KLANTREIS_WRITTEN_H
#define KLANTREIS_WRITTEN_H

#include "sums.h"

typedef struct {
    uint8_t *at;
    size_t n, room;
    int went_wrong;
} Writer;

typedef struct {
    const uint8_t *at, *end;
    int went_wrong;
} Reader;

static void write_number(Writer *w, uint64_t number) {
    if (w->n + 10 > w->room) {
        size_t room = w->room ? 2 * w->room : 4096;
        uint8_t *at = realloc(w->at, room);
        if (!at) { w->went_wrong = 1; return; }
        w->at = at, w->room = room;
    }
    for (; number >= 0x80; number >>= 7) w->at[w->n++] = (uint8_t)(number | 0x80);
    w->at[w->n++] = (uint8_t)number;
}

static uint64_t read_number(Reader *r) {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end) break;
        uint8_t byte = *r->at++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return number;
    }
    r->went_wrong = 1;
    return 0;
}

static inline uint64_t zigzag(int64_t n) { return (uint64_t)n << 1 ^ (uint64_t)(n >> 63); }
static inline int64_t unzigzag(uint64_t n) { return (int64_t)(n >> 1) ^ -(int64_t)(n & 1); }

/* Numbers in a row: 0 and how many zeros, or a number that is none. */
static void write_zeros(Writer *w, uint64_t *zeros) {
    if (*zeros) write_number(w, 0), write_number(w, *zeros);
    *zeros = 0;
}

static void write_row(Writer *w, const int64_t *row, int64_t n) {
    uint64_t zeros = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!row[i]) { zeros++; continue; }
        write_zeros(w, &zeros);
        write_number(w, zigzag(row[i]));
    }
    write_zeros(w, &zeros);
}

static void read_row(Reader *r, int64_t *row, int64_t n, int64_t least) {
    for (int64_t i = 0; i < n && !r->went_wrong;) {
        uint64_t number = read_number(r);
        if (number) {
            row[i] = unzigzag(number);
            r->went_wrong |= row[i++] < least;
            continue;
        }
        uint64_t zeros = read_number(r);
        if (zeros == 0 || zeros > (uint64_t)(n - i)) { r->went_wrong = 1; return; }
        i += (int64_t)zeros;
    }
}

static void write_sparse(Writer *w, const Sparse *s) {
    uint64_t n = 0;
    Keyed *sorted = sparse_sorted(s, &n);
    if (!sorted) { w->went_wrong = 1; return; }
    write_number(w, n);
    for (uint64_t i = 0; i < n; i++) write_number(w, sorted[i].key), write_number(w, sorted[i].count);
    free(sorted);
}

static int read_sparse(Reader *r, Sparse *s, int64_t slots) {
    uint64_t n = read_number(r);
    for (uint64_t i = 0; i < n && !r->went_wrong; i++) {
        uint64_t key = read_number(r), count = read_number(r);
        r->went_wrong |= (slots && (int64_t)(key >> SLOT_SHIFT) >= slots) || count > ROWS_MAX || key == UINT64_MAX;
        if (!r->went_wrong && sparse_add(s, key, count)) return NO_MEMORY;
    }
    return FINE;
}

static void write_spread(Writer *w, const Spread *s) {
    uint64_t zeros = 0;
    for (int64_t block = 0; block < s->slots * BLOCKS; block++) {
        if (!s->blocks[block]) { zeros += BLOCK; continue; }
        for (int64_t i = block * BLOCK; i < (block + 1) * BLOCK; i++) {
            if (!s->dense[i]) { zeros++; continue; }
            write_zeros(w, &zeros);
            write_number(w, zigzag(s->dense[i]));
        }
    }
    write_zeros(w, &zeros);
    write_sparse(w, &s->large);
}

static int read_spread(Reader *r, Spread *s) {
    int64_t n = s->slots * WIDTH;
    for (int64_t i = 0; i < n && !r->went_wrong;) {
        uint64_t number = read_number(r);
        if (number) {
            int64_t count = unzigzag(number);
            r->went_wrong |= count < 0 || count > (int64_t)ROWS_MAX;
            s->blocks[i / BLOCK] = 1;
            s->dense[i++] = (uint32_t)count;
            continue;
        }
        uint64_t zeros = read_number(r);
        if (zeros == 0 || zeros > (uint64_t)(n - i)) { r->went_wrong = 1; break; }
        i += (int64_t)zeros;
    }
    return read_sparse(r, &s->large, s->slots);
}

static void write_tally(Writer *w, Tally *t) {
    write_row(w, (const int64_t *)&t->sum, SUMS);
    write_row(w, t->counts, t->n_counts);
    write_row(w, t->cents, t->n_cents);
    write_sparse(w, &t->cohorts);
    write_spread(w, &t->spread);
    sort_buyers(&t->buyers);
    write_number(w, (uint64_t)t->buyers.n);
    int64_t person = 0;
    for (int64_t i = 0; i < t->buyers.n; i++) {
        const Buyer *b = t->buyers.buyer + i;
        write_number(w, (uint64_t)b->person - (uint64_t)person);
        write_number(w, zigzag(b->cents)), write_number(w, zigzag(b->last_day));
        write_number(w, (uint64_t)b->purchases);
        person = b->person;
    }
}

/* Into a tally in which nothing is counted yet. */
static int read_tally(Reader *r, Tally *t) {
    read_row(r, (int64_t *)&t->sum, SUMS, 0);
    read_row(r, t->counts, t->n_counts, 0);
    read_row(r, t->cents, t->n_cents, INT64_MIN);
    if (read_sparse(r, &t->cohorts, 0) || read_spread(r, &t->spread)) return NO_MEMORY;
    uint64_t n = read_number(r);
    if (r->went_wrong || n > (uint64_t)(r->end - r->at) / 4 || (n && !t->keeps_buyers)) return NOT_A_TALLY;
    if (buyers_room(&t->buyers, (int64_t)n)) return NO_MEMORY;
    int64_t person = 0;
    for (uint64_t i = 0; i < n && !r->went_wrong; i++) {
        person = (int64_t)((uint64_t)person + read_number(r));
        int64_t cents = unzigzag(read_number(r)), day = unzigzag(read_number(r));
        uint64_t purchases = read_number(r);
        r->went_wrong |= day != (int32_t)day || purchases > INT32_MAX;
        t->buyers.buyer[t->buyers.n++] = (Buyer){person, cents, (int32_t)day, (int32_t)purchases};
    }
    return r->went_wrong || r->at != r->end || t->sum.rows > (int64_t)ROWS_MAX ? NOT_A_TALLY : FINE;
}

#endif
