/* What a text may have been: every character that occurs in the scheme is tried. */
#ifndef MATCHER_NEAR_TEXTS_H
#define MATCHER_NEAR_TEXTS_H

#include "near.h"

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
