# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A journey model for the fold."""

from hashlib import blake2b

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc
from libc.string cimport memset

from native.fold.folding cimport CKind, CRule, CRules, PHASES_MAX, fill_places, free_rules

from native.fold.errors import FoldRefused, refusal

DIGEST_BYTES = 16

cdef enum:
    USES_MAX = 1 << 22

cdef int32_t NUMBER_MAX = 2**31 - 1


cdef class Rules:
    """A journey model as small tables; see `native.fold.tables` for what goes in."""

    def __cinit__(self):
        memset(&self.c, 0, sizeof(CRules))

    def __dealloc__(self):
        free_rules(&self.c)

    def __init__(self, tables):
        cdef int32_t i, n = 0
        cdef int fault
        cdef CRule *rule
        self.c.service_days = tables.service_days
        self.c.quiet_days = tables.quiet_days
        self.c.lapse_days = tables.lapse_days
        self.c.lapse_intervals = tables.lapse_intervals
        self.c.start_up_days = tables.start_up_days
        self.c.same_trip_ms = tables.same_trip_ms
        self.c.phases = len(tables.turns_away)
        self.c.kinds = len(tables.kinds)
        self.c.channels = tables.channels
        self.c.stores = tables.stores
        self.c.purchase, self.c.enrolment = tables.purchase, tables.enrolment
        self.c.rating, self.c.nps = tables.rating, tables.nps
        count = sum(len(rules) for rules in tables.kinds)
        if self.c.phases > PHASES_MAX or self.c.kinds > 65_535 or count > 65_535:
            raise FoldRefused(
                "The journey model has too many phases or rules.",
                f"Keep to {PHASES_MAX} phases and 65535 rules.",
            )
        if not (0 <= self.c.purchase < self.c.kinds and self.c.stores > 0 and self.c.channels > 0):
            raise FoldRefused("There is no kind for a purchase.", "Name it among the kinds.")
        if <int64_t>(self.c.phases + 1) * self.c.kinds * self.c.channels > USES_MAX:
            raise FoldRefused(
                "There are more kinds and channels of touchpoints than can be counted.",
                "Use fewer names for kinds and channels where touchpoints are imported.",
            )
        for i in range(self.c.phases):
            self.c.turns_away[i] = bool(tables.turns_away[i])
        self.c.kind = <CKind *>calloc(self.c.kinds, sizeof(CKind))
        self.c.rule = <CRule *>calloc(count + 1, sizeof(CRule))
        if self.c.kind == NULL or self.c.rule == NULL:
            raise MemoryError
        for i, rules in enumerate(tables.kinds):
            self.c.kind[i].first = n
            for given in rules:
                rule = self.c.rule + n
                n += 1
                if not 0 <= given.phase < self.c.phases:
                    raise FoldRefused("A rule leads to no phase.", "Correct the journey model.")
                rule.phase = given.phase
                rule.with_purchase = given.with_purchase
                rule.loops = 3 if given.loop is None else 2 if given.loop else 1
                rule.purchases_min, rule.purchases_max = clipped(given.purchases)
                rule.days_min, rule.days_max = clipped(given.days_since_purchase)
                rule.value_min, rule.value_max = clipped(given.value)
            self.c.kind[i].end = n
        with nogil:
            fault = fill_places(&self.c)
        if fault:
            raise refusal(fault)
        told = repr(tuple(tuple(map(tuple, part)) if name == "kinds" else part
                          for name, part in tables._asdict().items()))
        self.digest = blake2b(told.encode(), digest_size=DIGEST_BYTES).digest()


cdef tuple clipped(bounds):
    if bounds is None:
        return -NUMBER_MAX - 1, NUMBER_MAX
    return tuple(min(max(int(bound), 0), NUMBER_MAX) for bound in bounds)
