/* One pass over columns: which persons are folded, and in which tallies they are counted. */
#ifndef KLANTREIS_PASS_H
#define KLANTREIS_PASS_H

#include "walk.h"

typedef struct {
    const int64_t *person;
    const int32_t *day;
    int64_t n;
} Enrolled;

/* Persons in ascending order: those left out, and the only ones that are folded (NULL: all). */
typedef struct {
    const int64_t *without, *only;
    int64_t n_without, n_only;
} Chosen;

/* What the rows are counted in, one of several at once. */
typedef struct {
    Tally *t;
    const Rules *r;
    const Window *w;
    int32_t whole_from;  /* nobody asks what trips were whose days are all before it */
} Target;

static inline int is_ascending(const int64_t *person, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (person[i] <= person[i - 1]) return 0;
    return 1;
}

/* The first of the persons [from, to) that is not before `person`: near `from` most often. */
static inline int64_t first_of(const int64_t *persons, int64_t from, int64_t to, int64_t person) {
    int64_t step = 1;
    while (from + step < to && persons[from + step] < person) step *= 2;
    int64_t low = from + step / 2, high = from + step < to ? from + step : to;
    if (low < to && persons[low] >= person) low = from;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (persons[middle] < person) low = middle + 1; else high = middle;
    }
    return low;
}

/* The first row after `a` that is not of the same person. */
static inline int64_t end_of(const int64_t *persons, int64_t a, int64_t to) {
    int64_t person = persons[a], b = a + 1;
    for (; b + 8 <= to; b += 8) {
        int64_t other = 0;
        for (int64_t i = b; i < b + 8; i++) other |= persons[i] ^ person;
        if (other) break;
    }
    while (b < to && persons[b] == person) b++;
    return b;
}

/* The first of some targets in which a person is folded as in the last of them: trips depend on the
 * rules and the day as of which they are, not on the window. NULL: there is none. */
static const Target *same_trips(const Target *first, const Target *last) {
    for (; first < last; first++)
        if (first->r == last->r && first->w->now_day == last->w->now_day && first->w->began_day == last->w->began_day)
            return first;
    return NULL;
}

/* The first day that target `k` asks about, or one that takes its trips. */
static int32_t whole_from(const Target *target, int targets, int k) {
    int32_t day = target[k].w->first_day;
    for (int other = k + 1; other < targets; other++)
        if (target[other].t->only_buyers && same_trips(target, target + other) == target + k
            && target[other].w->first_day < day)
            day = target[other].w->first_day;
    return day;
}

static int codes_fault(const Target *target, int targets, const Rows *c, int64_t from, int64_t to) {
    int fault = FINE;
    for (int k = 0; k < targets && !fault; k++)
        if (!k || target[k].r != target[0].r) fault = rows_fault(target[k].r, c, from, to);
    return fault;
}

/* `folded`: a target that has the person's trips already, or NULL. `ascends`: their times and days surely do. */
static int fold_into(const Target *target, const Target *folded, const Rows *c, int64_t a, int64_t b,
                     int32_t enrolled_day, int ascends) {
    Tally *t = target->t;
    const Rules *r = target->r;
    const Window *w = target->w;
    uint32_t days = w->end_day > w->first_day ? (uint32_t)w->end_day - (uint32_t)w->first_day : 0;
    struct Counting counting = {t, w->stores, (uint32_t)w->first_day, days, -1, 0, FINE, 0};
    int asks_all = w->stores == NULL && w->first_day <= target->whole_from && w->now_day <= w->end_day;
    if (t->only_buyers && folded) {
        t->sum.rows += b - a;
        return keep_buyer(t, &folded->t->scratch, &counting, c->person[a]);
    }
    if (make_room(&t->scratch, b - a)) return NO_MEMORY;
    if (t->only_buyers) {
        int fault = fold_person(&t->scratch, r, c, a, b, w->now_day, w->began_day, enrolled_day);
        t->sum.rows += b - a;
        return fault ? fault : keep_buyer(t, &t->scratch, &counting, c->person[a]);
    }
    t->person_number++;
    begin_person(&t->scratch, r, enrolled_day);
    if (!ascends && !are_sorted(c->at_ms + a, b - a)) return NOT_SORTED;
    walk_person(&t->scratch, r, c, a, b - a, w->now_day, w->began_day, target->whole_from, &counting, ascends,
                asks_all);
    t->sum.rows += b - a;
    return count_person(t, r, w, &counting, c->person[a]);
}

/* Folds the rows [from, to), which hold whole persons in ascending order, and counts them in each of
 * the targets. */
static int tally_rows(Target *target, int targets, const Rows *c, const Enrolled *e, const Chosen *chosen,
                      int64_t from, int64_t to) {
    for (int k = 0; k < targets; k++)
        if (target[k].t->sum.rows + (to - from) > (int64_t)ROWS_MAX) return TOO_MANY_ROWS;
    if (!is_ascending(chosen->without, chosen->n_without)) return BAD_CHOICE;
    if (chosen->only && !is_ascending(chosen->only, chosen->n_only)) return BAD_CHOICE;
    for (int k = 0; k < targets; k++) target[k].whole_from = whole_from(target, targets, k);
    int64_t enrolled = 0, without = 0, only = 0, fetched = from;
    int fault = FINE;
    Ahead ahead;
    ahead.looked = ahead.doubtful = from, ahead.n = ahead.next = 0;
    for (int64_t a = from, b; a < to; a = b) {
        if (chosen->only) {
            only = first_of(chosen->only, only, chosen->n_only, c->person[a]);
            if (only == chosen->n_only) break;
            if (c->person[a] != chosen->only[only]) {
                b = first_of(c->person, a, to, chosen->only[only]);
                if (b == a) return NOT_SORTED;
                continue;
            }
        }
        int64_t person = c->person[a];
        if (chosen->only) {
            b = end_of(c->person, a, to);
            fault = codes_fault(target, targets, c, a, b);
        } else {
            while (ahead.next == ahead.n && ahead.looked < to && !fault) {
                int64_t start = ahead.looked;
                look_ahead(&ahead, c, from, to);
                fault = codes_fault(target, targets, c, start, ahead.looked);
            }
            int64_t wanted = to - a > FETCH_AHEAD ? a + FETCH_AHEAD : to;
            for (; fetched + FETCHED_AT_ONCE <= wanted; fetched += FETCHED_AT_ONCE) fetch_rows(c, fetched);
            b = ahead.next < ahead.n ? ahead.begins[ahead.next++] : to;
        }
        if (fault) return fault;
        if (b < to && c->person[b] < person) return NOT_SORTED;
        if (chosen->n_without) {
            without = first_of(chosen->without, without, chosen->n_without, person);
            if (without < chosen->n_without && chosen->without[without] == person) continue;
        }
        enrolled = first_of(e->person, enrolled, e->n, person);
        int32_t enrolled_day = enrolled < e->n && e->person[enrolled] == person ? e->day[enrolled] : NO_DAY;
        int ascends = !chosen->only && a >= ahead.doubtful;
        for (int k = 0; k < targets; k++)
            if ((fault = fold_into(target + k, same_trips(target, target + k), c, a, b, enrolled_day, ascends)))
                return fault;
    }
    for (int k = 0; k < targets; k++) count_waiting(&target[k].t->spread);
    return FINE;
}

/* The plain pass over the same columns: what reading them costs. */
static uint64_t floor_rows(const Rows *c, int64_t from, int64_t to) {
    uint64_t sum = 0;
    for (int64_t i = from; i < to; i++)
        sum += (uint64_t)c->person[i] ^ (uint64_t)c->at_ms[i] ^ (uint64_t)c->amount_cents[i]
            ^ (uint64_t)(c->day[i] ^ c->value[i] ^ c->belongs[i] ^ c->caused[i])
            ^ (uint64_t)(c->kind[i] ^ c->channel[i] ^ c->store[i] ^ c->joins[i]);
    return sum;
}

#endif
