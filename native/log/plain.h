/* A sale with nothing rare in it, its parts found in its bytes.
 *
 * Plain are sales that `sale.h` is sure of, without vouchers and held-out ones, of nobody or of a
 * member whom the till knew, no text of theirs with U+0000. The others are left to Python.
 */
#ifndef LOG_PLAIN_H
#define LOG_PLAIN_H

#include "sale.h"

typedef struct {
    const uint8_t *data;
    size_t size;
} text;

typedef struct {
    text code;
    int64_t quantity, amount_cents;
    int keyed;
} plain_line;

typedef struct {
    text kind;
    int64_t amount_cents;
} plain_tender;

typedef struct {
    int64_t at_ms, opened_at_ms, total_cents, change_cents;
    int64_t lines, tenders;
    reader at_lines, at_tenders; /* the first of them, for `next_line` and `next_tender` */
    text how;                    /* data is NULL when nobody is linked */
    const uint8_t *token;
    int64_t member;
    int64_t checkout[4]; /* duration_ms, failed_scans, voided_lines, slowest_answer_us */
} plain_sale;

/* What follows reads what `sale_at_ms` has looked at: nothing is checked twice. */

static inline int64_t next_int(reader *r) {
    int64_t number = 0;
    take_int(r, INT64_MIN, INT64_MAX, &number);
    return number;
}

static inline text next_text(reader *r) {
    text found = {NULL, 0};
    found.data = take_text(r, TEXT_MAX, &found.size);
    return found;
}

static inline plain_line next_line(reader *r) {
    plain_line line;
    int64_t fields = take_array(r, 3, 4);
    line.code = next_text(r);
    line.quantity = next_int(r);
    line.amount_cents = next_int(r);
    line.keyed = fields > 3 && *take(r, 1) == 0xc3;
    return line;
}

static inline plain_tender next_tender(reader *r) {
    plain_tender tender;
    take_array(r, 2, 2);
    tender.kind = next_text(r);
    tender.amount_cents = next_int(r);
    return tender;
}

static inline int has_nul(text found) {
    return memchr(found.data, 0, found.size) != NULL;
}

/* Whether a member is linked, or nobody. */
static inline int read_link(reader *r, plain_sale *sale) {
    if (skip_nil(r)) {
        return 1;
    }
    int64_t fields = take_array(r, 2, 3);
    sale->how = next_text(r);
    sale->token = take(r, 2 + TOKEN_BYTES) + 2;
    if (fields < 3 || skip_nil(r)) {
        return 0;
    }
    sale->member = next_int(r);
    return !has_nul(sale->how);
}

/* Whether the sale in `data`, which must be number `seq`, is plain; then `sale` are its parts. */
static inline int read_plain(const uint8_t *data, size_t size, int64_t seq, plain_sale *sale) {
    size_t length;
    memset(sale, 0, sizeof *sale);
    sale->at_ms = sale_at_ms(data, size, seq);
    if (sale->at_ms < 0) {
        return 0;
    }
    reader r = {data, data + size};
    take_array(&r, 3, 3);
    next_int(&r);
    next_int(&r);
    int64_t fields = take_array(&r, 5, 12) - 1;
    take_text(&r, SHORT_TEXT_MAX, &length);
    sale->opened_at_ms = next_int(&r);
    sale->total_cents = next_int(&r);
    sale->lines = take_array(&r, 1, LINES_MAX);
    sale->at_lines = r;
    for (int64_t line = 0; line < sale->lines; line++) {
        if (has_nul(next_line(&r).code)) {
            return 0;
        }
    }
    sale->tenders = take_array(&r, 0, TENDERS_MAX);
    sale->at_tenders = r;
    for (int64_t tender = 0; tender < sale->tenders; tender++) {
        next_tender(&r);
    }
    if (fields > 4) {
        sale->change_cents = next_int(&r);
    }
    if (fields > 5 && !read_link(&r, sale)) {
        return 0;
    }
    for (int64_t rare = 6; rare < 9 && rare < fields; rare++) {
        if (take_array(&r, 0, VOUCHERS_MAX) != 0) {
            return 0;
        }
    }
    if (fields > 9) {
        int64_t told = take_array(&r, 0, 4);
        for (int64_t field = 0; field < told; field++) {
            sale->checkout[field] = next_int(&r);
        }
    }
    return fields < 11 || take_array(&r, 0, ISSUED_MAX) == 0;
}

#endif
