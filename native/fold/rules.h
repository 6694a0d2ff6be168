/* A journey model as one table: the phase of a touchpoint is one look-up, whatever its rules ask. */
#ifndef KLANTREIS_RULES_H
#define KLANTREIS_RULES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NO_PHASE (-1)
#define NO_DAYS (-1)
#define NO_VALUE INT32_MIN
#define PHASES_MAX 32
#define THRESHOLD_MAX (1 << 21)
#define PLACES_MAX (1 << 22)

enum fault { FINE, NO_MEMORY, BAD_KIND, BAD_CHANNEL, BAD_STORE, NOT_SORTED, TOO_MANY_ROWS,
             NEVER_COUNTED, NOT_A_TALLY, BAD_CHOICE, TOO_MANY_RULES };

/* A condition that is not asked holds for every number; one that is asked begins at 0 or above,
 * and so fails for NO_DAYS and NO_VALUE. */
typedef struct {
    uint8_t phase, with_purchase, loops;  /* bit 0: holds in no loop, bit 1: in a loop */
    int32_t purchases_min, purchases_max, days_min, days_max, value_min, value_max;
} Rule;

typedef struct { int32_t first, end; } Kind;  /* in `rule` */

/* Numbers that no rule tells apart share a step; below 0 is step 0. */
typedef struct {
    int32_t *step;        /* of each number from -1 up to `last`, as what it adds to a place */
    int32_t last, steps;  /* everything above is like `last` */
} Scale;

#define WITH_PURCHASE 0x80
#define PHASE_BITS 0x3f
#define ASK 0x40

typedef struct {
    int32_t service_days, quiet_days, lapse_days, lapse_intervals, start_up_days;
    int64_t same_trip_ms;
    uint8_t turns_away[PHASES_MAX];  /* whether a phase looks or chooses */
    int32_t phases, kinds, channels, stores;
    int32_t purchase, enrolment, rating, nps;  /* codes of kinds, or -1 */
    Kind *kind;
    Rule *rule;
    int32_t short_days;  /* the longest interval whose median cannot matter */
    Scale purchases, days, value;
    uint8_t *place;  /* (kind, purchases, days, value, loop) → phase + 1, perhaps WITH_PURCHASE */
    int32_t places;  /* of a kind */
    uint8_t *always;         /* of each kind: its place when no rule asks anything, or ASK */
    uint32_t turning_phases;  /* `turns_away` as bits */
} Rules;

static inline int32_t step_of(const Scale *s, int32_t number) {
    int32_t n = number < -1 ? -1 : number > s->last ? s->last : number;
    return s->step[n + 1];
}

/* The place of a touchpoint's phase, by the first rule that holds. */
static inline int place_in(const Rules *r, uint16_t kind, int32_t purchases_step, int32_t days, int loop,
                           int32_t value) {
    return r->place[(int64_t)kind * r->places + purchases_step + step_of(&r->days, days)
                    + step_of(&r->value, value) + loop];
}

static inline int phase_at(int place) { return (place & PHASE_BITS) - 1; }

static uint8_t ask_rules(const Rules *r, int32_t kind, int32_t purchases, int32_t days, int loop, int32_t value) {
    const Kind *k = &r->kind[kind];
    for (const Rule *rule = r->rule + k->first, *end = r->rule + k->end; rule < end; rule++)
        if (purchases >= rule->purchases_min && purchases <= rule->purchases_max && days >= rule->days_min
            && days <= rule->days_max && value >= rule->value_min && value <= rule->value_max
            && (rule->loops >> loop & 1))
            return (uint8_t)((rule->phase + 1) | (rule->with_purchase ? WITH_PURCHASE : 0));
    return 0;
}

/* Marks where a condition begins and where it ends. */
static int mark(Scale *s, int32_t min, int32_t max) {
    int32_t mark[2] = {min, max < INT32_MAX ? max + 1 : 0};
    for (int k = 0; k < 2; k++) {
        if (mark[k] > THRESHOLD_MAX) return TOO_MANY_RULES;
        if (mark[k] <= 0) continue;
        if (mark[k] > s->last) {
            int32_t *step = realloc(s->step, ((size_t)mark[k] + 2) * sizeof(int32_t));
            if (!step) return NO_MEMORY;
            memset(step + s->last + 2, 0, (size_t)(mark[k] - s->last) * sizeof(int32_t));
            s->step = step, s->last = mark[k];
        }
        s->step[mark[k] + 1] = 1;
    }
    return FINE;
}

/* From marks to steps; `least` gets a number of each step. */
static int close_scale(Scale *s, int32_t **least) {
    s->steps = 2;
    for (int32_t n = 1; n <= s->last; n++) s->steps += s->step[n + 1];
    *least = malloc((size_t)s->steps * sizeof(int32_t));
    if (!*least) return NO_MEMORY;
    (*least)[0] = -1;
    s->step[0] = 0;
    for (int32_t n = 0, step = 0; n <= s->last; n++) {
        if (n == 0 || s->step[n + 1]) (*least)[++step] = n;
        s->step[n + 1] = step;
    }
    return FINE;
}

static void widen(Scale *s, int32_t by) { for (int32_t n = -1; n <= s->last; n++) s->step[n + 1] *= by; }

/* Fills `place` from `kind` and `rule`. */
static int fill_places(Rules *r) {
    Scale *scale[3] = {&r->purchases, &r->days, &r->value};
    int32_t *least[3] = {NULL, NULL, NULL};
    int fault = FINE;
    for (int k = 0; k < 3; k++) {
        scale[k]->step = calloc(2, sizeof(int32_t));
        if (!scale[k]->step) return NO_MEMORY;
    }
    int32_t rules = 0;
    for (int32_t k = 0; k < r->kinds; k++) rules = r->kind[k].end > rules ? r->kind[k].end : rules;
    for (const Rule *rule = r->rule; rule < r->rule + rules && !fault; rule++)
        fault = mark(scale[0], rule->purchases_min, rule->purchases_max)
            | mark(scale[1], rule->days_min, rule->days_max) | mark(scale[2], rule->value_min, rule->value_max);
    for (int k = 0; k < 3 && !fault; k++) fault = close_scale(scale[k], &least[k]);
    if (!fault) {
        int64_t of_kind = 2;
        for (int k = 0; k < 3 && of_kind <= PLACES_MAX; k++) of_kind *= scale[k]->steps;
        fault = of_kind > PLACES_MAX || of_kind * r->kinds > PLACES_MAX ? TOO_MANY_RULES : FINE;
        r->places = (int32_t)of_kind;
    }
    if (!fault) {
        r->place = malloc((size_t)r->kinds * r->places);
        r->always = malloc((size_t)r->kinds);
        fault = r->place && r->always ? FINE : NO_MEMORY;
    }
    uint8_t *place = r->place;
    for (int32_t kind = 0; kind < r->kinds && !fault; kind++)
        for (int32_t p = 0; p < scale[0]->steps; p++)
            for (int32_t d = 0; d < scale[1]->steps; d++)
                for (int32_t v = 0; v < scale[2]->steps; v++)
                    for (int loop = 0; loop < 2; loop++)
                        *place++ = ask_rules(r, kind, least[0][p], least[1][d], loop, least[2][v]);
    if (!fault) {
        widen(scale[2], 2);
        widen(scale[1], 2 * scale[2]->steps);
        widen(scale[0], 2 * scale[2]->steps * scale[1]->steps);
    }
    for (int32_t kind = 0; kind < r->kinds && !fault; kind++) {
        const uint8_t *of_kind = r->place + (int64_t)kind * r->places;
        r->always[kind] = of_kind[0];
        for (int32_t i = 1; i < r->places; i++)
            if (of_kind[i] != of_kind[0]) r->always[kind] = ASK;
        if (kind == r->enrolment) r->always[kind] = ASK;
    }
    for (int32_t phase = 0; phase < r->phases; phase++)
        r->turning_phases |= (uint32_t)(r->turns_away[phase] != 0) << phase;
    r->short_days = r->lapse_intervals > 0 ? r->lapse_days / r->lapse_intervals : INT32_MAX;
    for (int k = 0; k < 3; k++) free(least[k]);
    return fault;
}

static void free_rules(Rules *r) {
    free(r->kind), free(r->rule), free(r->place), free(r->always);
    free(r->purchases.step), free(r->days.step), free(r->value.step);
    memset(r, 0, sizeof *r);
}

#endif
