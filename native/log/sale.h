/* Whether bytes are a sale, as `wire.events` would read them: MessagePack, seen and not kept.
 *
 * It may say no to a sale (text beyond ASCII, fields of a later version), for then the office reads
 * it in Python. It never says yes to what `wire.events` would not take: the tests hold it to that.
 */
#ifndef LOG_SALE_H
#define LOG_SALE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As in `wire.events`. */
#define CENTS_MAX INT64_C(1000000000000)
#define MS_MAX INT64_C(253402300799999)
#define SEQ_MAX INT64_C(9007199254740991)
#define COUNT_MAX 1000000
#define MEMBER_MAX INT64_C(4294967294)
enum {
    EVENT_BYTES_MAX = 256 * 1024,
    LINES_MAX = 2000,
    TENDERS_MAX = 64,
    VOUCHERS_MAX = 32,
    ISSUED_MAX = 8,
    TEXT_MAX = 128,
    SHORT_TEXT_MAX = 32,
    TOKEN_BYTES = 16,
};

typedef struct {
    const uint8_t *at, *end;
} reader;

/* The next `size` bytes, or NULL. */
static inline const uint8_t *take(reader *r, size_t size) {
    if ((size_t)(r->end - r->at) < size) {
        return NULL;
    }
    const uint8_t *found = r->at;
    r->at += size;
    return found;
}

static inline int take_number(reader *r, int bytes, uint64_t *number) {
    const uint8_t *at = take(r, (size_t)bytes);
    if (at == NULL) {
        return 0;
    }
    uint64_t found = 0;
    for (int byte = 0; byte < bytes; byte++) {
        found = (found << 8) | at[byte];
    }
    *number = found;
    return 1;
}

static inline int take_int(reader *r, int64_t least, int64_t most, int64_t *number) {
    const uint8_t *at = take(r, 1);
    if (at == NULL) {
        return 0;
    }
    int64_t found;
    uint64_t bits;
    uint8_t tag = *at;
    if (tag <= 0x7f) {
        found = tag;
    } else if (tag >= 0xe0) {
        found = (int64_t)tag - 0x100;
    } else if (tag >= 0xcc && tag <= 0xcf) {
        if (!take_number(r, 1 << (tag - 0xcc), &bits) || bits > INT64_MAX) {
            return 0;
        }
        found = (int64_t)bits;
    } else if (tag >= 0xd0 && tag <= 0xd3) {
        int bytes = 1 << (tag - 0xd0);
        if (!take_number(r, bytes, &bits)) {
            return 0;
        }
        int unused = 64 - 8 * bytes;
        found = (int64_t)(bits << unused) >> unused;
    } else {
        return 0;
    }
    *number = found;
    return found >= least && found <= most;
}

static inline int is_int(reader *r, int64_t least, int64_t most) {
    int64_t number;
    return take_int(r, least, most, &number);
}

/* An array of `least` to `most` values; how many. -1 for anything else. */
static inline int64_t take_array(reader *r, int64_t least, int64_t most) {
    const uint8_t *at = take(r, 1);
    uint64_t length;
    if (at == NULL) {
        return -1;
    }
    if ((*at & 0xf0) == 0x90) {
        length = *at & 0x0f;
    } else if (*at != 0xdc || !take_number(r, 2, &length)) {
        return -1;
    }
    return (int64_t)length >= least && (int64_t)length <= most ? (int64_t)length : -1;
}

/* A text of at most `most` bytes, all ASCII: as many characters. NULL for anything else. */
static inline const uint8_t *take_text(reader *r, size_t most, size_t *size) {
    const uint8_t *at = take(r, 1);
    uint64_t length;
    if (at == NULL) {
        return NULL;
    }
    if ((*at & 0xe0) == 0xa0) {
        length = *at & 0x1f;
    } else if (*at != 0xd9 || !take_number(r, 1, &length)) {
        return NULL;
    }
    const uint8_t *text = length <= most ? take(r, length) : NULL;
    uint8_t seen = 0;
    for (size_t byte = 0; text != NULL && byte < length; byte++) {
        seen |= text[byte];
    }
    *size = length;
    return seen & 0x80 ? NULL : text;
}

static inline int is_text(reader *r, size_t most) {
    size_t size;
    return take_text(r, most, &size) != NULL;
}

static inline int is_bool(reader *r) {
    const uint8_t *at = take(r, 1);
    return at != NULL && (*at == 0xc2 || *at == 0xc3);
}

/* Whether the next is nil, and steps over it. */
static inline int skip_nil(reader *r) {
    if (r->at < r->end && *r->at == 0xc0) {
        r->at++;
        return 1;
    }
    return 0;
}

static inline int is_line(reader *r) {
    int64_t fields = take_array(r, 3, 4);
    return fields > 0 && is_text(r, TEXT_MAX) && is_int(r, 0, COUNT_MAX)
        && is_int(r, -CENTS_MAX, CENTS_MAX) && (fields < 4 || is_bool(r));
}

static inline int is_tender(reader *r) {
    size_t size;
    const uint8_t *kind = take_array(r, 2, 2) > 0 ? take_text(r, TEXT_MAX, &size) : NULL;
    return kind != NULL
        && ((size == 4 && (memcmp(kind, "cash", 4) == 0 || memcmp(kind, "card", 4) == 0))
            || (size == 7 && memcmp(kind, "voucher", 7) == 0))
        && is_int(r, 0, CENTS_MAX);
}

static inline int is_link(reader *r) {
    if (skip_nil(r)) {
        return 1;
    }
    int64_t fields = take_array(r, 2, 3);
    if (fields < 0 || !is_text(r, SHORT_TEXT_MAX)) {
        return 0;
    }
    const uint8_t *token = take(r, 2 + TOKEN_BYTES);
    return token != NULL && token[0] == 0xc4 && token[1] == TOKEN_BYTES
        && (fields < 3 || skip_nil(r) || is_int(r, 0, MEMBER_MAX));
}

static inline int is_redemption(reader *r) {
    return take_array(r, 4, 4) > 0 && is_text(r, SHORT_TEXT_MAX) && is_text(r, TEXT_MAX)
        && is_text(r, TEXT_MAX) && is_int(r, 0, CENTS_MAX);
}

static inline int is_refusal(reader *r) {
    return take_array(r, 3, 3) > 0 && is_text(r, SHORT_TEXT_MAX) && is_text(r, TEXT_MAX)
        && is_text(r, SHORT_TEXT_MAX);
}

static inline int is_issued(reader *r) {
    return take_array(r, 4, 4) > 0 && is_text(r, TEXT_MAX) && is_text(r, TEXT_MAX)
        && is_int(r, 0, CENTS_MAX) && is_int(r, 0, MS_MAX);
}

static inline int is_held_out(reader *r) {
    return take_array(r, 1, 1) > 0 && is_text(r, TEXT_MAX);
}

static inline int is_checkout(reader *r) {
    static const int64_t most[4] = {SEQ_MAX, COUNT_MAX, COUNT_MAX, SEQ_MAX};
    int64_t fields = take_array(r, 0, 4);
    for (int64_t field = 0; field < fields; field++) {
        if (!is_int(r, 0, most[field])) {
            return 0;
        }
    }
    return fields >= 0;
}

static inline int are_all(reader *r, int (*is_one)(reader *), int64_t least, int64_t most) {
    int64_t length = take_array(r, least, most);
    for (int64_t one = 0; one < length; one++) {
        if (!is_one(r)) {
            return 0;
        }
    }
    return length >= 0;
}

/* The body's fields after its tag; those from the fifth on may be left away. */
static inline int is_sale_body(reader *r, int64_t fields) {
    if (!is_int(r, 0, MS_MAX) || !is_int(r, -CENTS_MAX, CENTS_MAX)
        || !are_all(r, is_line, 1, LINES_MAX) || !are_all(r, is_tender, 0, TENDERS_MAX)) {
        return 0;
    }
    return (fields < 5 || is_int(r, 0, CENTS_MAX)) && (fields < 6 || is_link(r))
        && (fields < 7 || are_all(r, is_redemption, 0, VOUCHERS_MAX))
        && (fields < 8 || are_all(r, is_refusal, 0, VOUCHERS_MAX))
        && (fields < 9 || are_all(r, is_issued, 0, ISSUED_MAX))
        && (fields < 10 || is_checkout(r)) && (fields < 11 || are_all(r, is_held_out, 0, ISSUED_MAX));
}

/* The time of the sale in `data`, which must be number `seq`; -1 when it is not surely one. */
static inline int64_t sale_at_ms(const uint8_t *data, size_t size, int64_t seq) {
    reader r = {data, data + size};
    int64_t number, at_ms, fields;
    size_t length;
    if (size > EVENT_BYTES_MAX || take_array(&r, 3, 3) < 0 || !take_int(&r, 1, SEQ_MAX, &number)
        || number != seq || !take_int(&r, 0, MS_MAX, &at_ms)) {
        return -1;
    }
    fields = take_array(&r, 5, 12) - 1;
    const uint8_t *tag = fields >= 4 ? take_text(&r, SHORT_TEXT_MAX, &length) : NULL;
    if (tag == NULL || length != 4 || memcmp(tag, "sale", 4) != 0 || !is_sale_body(&r, fields)) {
        return -1;
    }
    return r.at == r.end ? at_ms : -1;
}

#endif
