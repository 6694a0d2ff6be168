# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Counts over the trips of a window, out of columns."""

from array import array
from hashlib import blake2b

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from native.fold.folding cimport (
    BLOCK, BLOCKS, Buyer, Chosen, CTally, Enrolled, FINE, FLOW_STEPS_MAX, Keyed, NO_MEMORY, NOT_A_TALLY, NPS_MAX, OUTCOMES,
    RATING_MAX, RECENT_MONTHS, Reader, Sparse, Spread, STANDINGS, Target, WIDTH, Window, Writer, how, read_tally,
    slot_count, slot_ranks, sort_buyers, sparse_sorted, tally_free, tally_merge, tally_room, tally_rows,
    write_tally,
)
from native.fold.rows cimport Rows
from native.fold.rules cimport Rules

from native.fold.errors import FoldRefused, refusal

MAGIC = b"KTALLY01"
CHECK_BYTES = 16
DUMP_BYTES_MAX = 1 << 30

cdef enum:
    TALLIES_MAX = 16
    SHARES_MAX = 16


cdef class Tally:
    """Counts over the trips of a window. One tally a thread; `merge` adds several up.

    `stores` has a 1 for each store that is asked about, by code; None: all. With `buyers` the tally
    keeps who bought in the window, too; with `only_buyers`, these and nothing else. Beside a tally
    of the same rules and day that comes before it, that costs next to nothing (`add_to`).
    """

    cdef CTally c
    cdef Window window
    cdef Rules rules
    cdef const uint8_t[::1] stores
    """Not set for all stores."""
    cdef bint asks_stores
    cdef readonly bytes digest
    """Of the rules, the window and the stores: tallies with the same one can be added up."""

    def __cinit__(self):
        memset(&self.c, 0, sizeof(CTally))

    def __dealloc__(self):
        tally_free(&self.c)

    def __init__(
        self,
        Rules rules not None,
        *,
        int32_t first_day,
        int32_t end_day,
        int32_t now_day,
        int32_t began_day,
        const uint8_t[::1] stores=None,
        bint buyers=False,
        bint only_buyers=False,
    ):
        buyers = buyers or only_buyers
        self.rules = rules
        self.window.first_day, self.window.end_day = first_day, end_day
        self.window.now_day, self.window.began_day = now_day, began_day
        if stores is not None:
            if stores.shape[0] != rules.c.stores:
                raise FoldRefused("The stores asked about are not the stores.", "Ask about each.")
            self.stores = stores
            self.asks_stores = True
            self.window.stores = &stores[0]
        if tally_room(&self.c, &rules.c, &self.window, buyers, only_buyers):
            raise MemoryError
        told = (
            first_day, end_day, now_day, began_day, buyers + only_buyers,
            None if stores is None else bytes(stores),
        )
        self.digest = blake2b(rules.digest + repr(told).encode(), digest_size=CHECK_BYTES).digest()

    def add(
        self,
        Rows rows not None,
        int64_t start=0,
        int64_t end=-1,
        enrolled_persons=None,
        enrolled_days=None,
        *,
        without=None,
        only=None,
    ):
        """Folds the rows [start, end) and counts their trips: see `add_to`."""
        add_to((self,), rows, start, end, enrolled_persons, enrolled_days, without=without, only=only)

    def merge(self, Tally other not None):
        """Adds the counts of other persons, made with the same rules in the same window."""
        self._merge(other, False)

    def subtract(self, Tally other not None):
        """Takes the counts of some of the persons away again; refused when they are not in it."""
        self._merge(other, True)

    cdef int _merge(self, Tally other, bint is_taken_away) except -1:
        cdef int fault
        if other is self or other.digest != self.digest:
            raise FoldRefused(
                "The tallies are not of the same rules and window.", "Make both with the same."
            )
        with nogil:
            fault = tally_merge(&self.c, &other.c, is_taken_away)
        if fault:
            raise refusal(fault)
        return 0

    def dump(self):
        """The tally as bytes, for another process: the same counts are the same bytes."""
        cdef Writer writer
        memset(&writer, 0, sizeof(Writer))
        try:
            with nogil:
                write_tally(&writer, &self.c)
            if writer.went_wrong:
                raise MemoryError
            told = MAGIC + self.digest + writer.at[:writer.n]
        finally:
            free(writer.at)
        return told + blake2b(told, digest_size=CHECK_BYTES).digest()

    def load(self, const uint8_t[::1] dumped not None):
        """Adds what another process dumped, as `merge` does; raises `FoldRefused`."""
        cdef Reader reader
        cdef Tally found
        cdef int fault
        data = bytes(dumped[:DUMP_BYTES_MAX + 1])
        begins = len(MAGIC) + CHECK_BYTES
        if len(data) > DUMP_BYTES_MAX or len(data) < begins + CHECK_BYTES or data[:8] != MAGIC:
            raise refusal(NOT_A_TALLY)
        if blake2b(data[:-CHECK_BYTES], digest_size=CHECK_BYTES).digest() != data[-CHECK_BYTES:]:
            raise refusal(NOT_A_TALLY)
        if data[len(MAGIC):begins] != self.digest:
            raise FoldRefused(
                "The bytes are a tally of other rules, or of another window.",
                "Make both with the same version, model, columns and window.",
            )
        found = Tally(
            self.rules,
            first_day=self.window.first_day,
            end_day=self.window.end_day,
            now_day=self.window.now_day,
            began_day=self.window.began_day,
            stores=self.stores if self.asks_stores else None,
            buyers=self.c.keeps_buyers,
            only_buyers=self.c.only_buyers,
        )
        memset(&reader, 0, sizeof(Reader))
        reader.at = &dumped[begins]
        reader.end = &dumped[len(data) - CHECK_BYTES - 1] + 1
        with nogil:
            fault = read_tally(&reader, &found.c)
        if fault:
            raise refusal(fault)
        self._merge(found, False)

    def buyers(self):
        """Who bought in the window, in ascending order: (persons, last days, purchases, cents).

        The days are those of their last purchases in the window, the cents what they spent in it.
        Purchases that are one by the rules count as one.
        """
        cdef int64_t i, n = self.c.buyers.n
        sort_buyers(&self.c.buyers)
        persons, days, purchases, cents = array("q"), array("i"), array("i"), array("q")
        for column in (persons, days, purchases, cents):
            column.frombytes(bytes(column.itemsize * n))
        cdef int64_t[::1] person = persons, cent = cents
        cdef int32_t[::1] day = days, purchase = purchases
        for i in range(n):
            person[i] = self.c.buyers.buyer[i].person
            day[i] = self.c.buyers.buyer[i].last_day
            purchase[i] = self.c.buyers.buyer[i].purchases
            cent[i] = self.c.buyers.buyer[i].cents
        return persons, days, purchases, cents

    def size(self):
        """How much memory it takes, in bytes."""
        return (
            sizeof(CTally)
            + (self.c.n_counts + self.c.n_cents) * sizeof(int64_t)
            + self.c.spread.slots * (WIDTH * sizeof(uint32_t) + BLOCKS)
            + (self.c.spread.large.places + self.c.cohorts.places) * 2 * sizeof(uint64_t)
            + self.c.buyers.room * sizeof(Buyer)
        )

    def ranks(self, shares):
        """Of each measured quantity and slot: (how many values, the value at each of `shares`).

        The value at a share is the smallest that at least this share of the values do not exceed.
        `shares` ascend, above 0 and up to 1. Slots without values are left out.
        """
        return named(spread_ranks(&self.c.spread, shares), self.rules.c.phases)

    def spreads(self):
        """Of each measured quantity: (slot, value) → how many times. Takes long: see `ranks`."""
        found = {name: {} for name in ("phase_minutes", "minutes_to_buy", "days_between")}
        slots = named({i: i for i in range(self.c.spread.slots)}, self.rules.c.phases)
        counted = spread_counts(&self.c.spread)
        for name, of_name in slots.items():
            for slot, place in of_name.items():
                found[name].update(((slot, value), n) for value, n in counted[place].items())
        return found

    def counts(self):
        """What was counted, by name, as dictionaries from code to count; zeros left out.

        The measured quantities are in `ranks` and `spreads`.
        """
        cdef int32_t P = self.rules.c.phases, S = self.rules.c.stores
        cdef int64_t C = self.rules.c.channels, width = P + OUTCOMES
        cdef int64_t i, step
        ways, ways_cents = {}, {}
        for i in range((FLOW_STEPS_MAX + 1) * (P + 2) * width):
            if self.c.ways[i]:
                key = (i // width // (P + 2), i // width % (P + 2), i % width)
                ways[key] = self.c.ways[i]
                ways_cents[key] = self.c.ways_cents[i]
        uses = {}
        for i in range((P + 1) * self.rules.c.kinds * C):
            if self.c.uses[i]:
                uses[i // C // self.rules.c.kinds - 1, i // C % self.rules.c.kinds, i % C] = self.c.uses[i]
        lost = {}
        for i in range(S * (P + 1)):
            if self.c.lost[i]:
                lost[i // (P + 1), i % (P + 1) - 1] = self.c.lost[i]
        ratings = {}
        for i in range((P + 1) * (RATING_MAX + 1)):
            if self.c.sum.ratings[i]:
                ratings[i // (RATING_MAX + 1) - 1, i % (RATING_MAX + 1)] = self.c.sum.ratings[i]
        cohorts = {
            (int(key >> 16), int(key & 65_535)): count
            for key, count in sparse_counts(&self.c.cohorts)
        }
        for i in range(RECENT_MONTHS * RECENT_MONTHS):
            if self.c.recent_cohorts[i]:
                key = (self.c.recent_month + i // RECENT_MONTHS, i % RECENT_MONTHS)
                cohorts[key] = self.c.recent_cohorts[i]
        return {
            "rows": self.c.sum.rows,
            "persons": self.c.sum.persons,
            "trips": self.c.sum.trips,
            "bought": self.c.sum.bought,
            "answered": self.c.sum.answered,
            "loops": self.c.sum.loops,
            "customers": self.c.sum.customers,
            "lapsed": self.c.sum.lapsed,
            "lapsed_ever": self.c.sum.lapsed_ever,
            "outcomes": {i: self.c.sum.outcomes[i] for i in range(OUTCOMES) if self.c.sum.outcomes[i]},
            "buyers": {i: self.c.sum.buyers[i] for i in range(STANDINGS) if self.c.sum.buyers[i]},
            "nps": {i: self.c.sum.nps[i] for i in range(NPS_MAX + 1) if self.c.sum.nps[i]},
            "reached": {i: self.c.sum.reached[i] for i in range(P) if self.c.sum.reached[i]},
            "dropped_off": {
                i - 1: self.c.sum.dropped_off[i] for i in range(P + 1) if self.c.sum.dropped_off[i]
            },
            "ratings": ratings,
            "transitions": ways,
            "transition_cents": ways_cents,
            "touchpoints": uses,
            "lost": lost,
            "buying_trips": {i: self.c.buying_trips[i] for i in range(S) if self.c.buying_trips[i]},
            "buying_cents": {i: self.c.buying_cents[i] for i in range(S) if self.c.buying_trips[i]},
            "cohorts": cohorts,
        }


cdef list sparse_counts(const Sparse *sparse):
    cdef uint64_t i
    found = []
    for i in range(sparse.places):
        if sparse.key[i] and sparse.count[i]:
            found.append((sparse.key[i] - 1, sparse.count[i]))
    return found


cdef dict named(dict by_slot, int64_t phases):
    """What is known of each slot, by the name of the quantity and its own slot."""
    found = {"phase_minutes": {}, "minutes_to_buy": {}, "days_between": {}}
    for slot, known in by_slot.items():
        if slot < phases:
            found["phase_minutes"][slot] = known
        elif slot < phases + 2:
            found["minutes_to_buy"][slot - phases] = known
        else:
            found["days_between"][slot - phases - 2] = known
    return found


cdef list spread_counts(const Spread *spread):
    cdef int64_t slot, value, block
    cdef const uint32_t *dense
    found = []
    for slot in range(spread.slots):
        dense = spread.dense + slot * WIDTH
        counts = {}
        for block in range(BLOCKS):
            if spread.blocks[slot * BLOCKS + block]:
                for value in range(block * BLOCK, (block + 1) * BLOCK):
                    if dense[value]:
                        counts[value] = dense[value]
        found.append(counts)
    for key, count in sparse_counts(&spread.large):
        found[int(key >> 48)][int(key & (2**48 - 1))] = count
    return found


cdef dict spread_ranks(const Spread *spread, shares):
    cdef double share[SHARES_MAX]
    cdef int64_t value[SHARES_MAX]
    cdef int i, n = len(shares)
    cdef int64_t slot
    cdef uint64_t count, large = 0
    cdef Keyed *sorted_large
    if n > SHARES_MAX or list(shares) != sorted(shares) or not all(0 < s <= 1 for s in shares):
        raise ValueError(f"no shares to take values at: {shares}")
    for i in range(n):
        share[i] = shares[i]
    sorted_large = sparse_sorted(&spread.large, &large)
    if sorted_large == NULL:
        raise MemoryError
    found = {}
    for slot in range(spread.slots):
        count = slot_count(spread, slot)
        if count:
            slot_ranks(spread, sorted_large, large, slot, count, share, value, n)
            found[slot] = (count, tuple([value[i] for i in range(n)]))
    free(sorted_large)
    return found


def fold_by(str way not None):
    """For tests: by which of the ways, which all give the same, `add_to` folds from now on.

    `eights`: what is said of rows ahead, of eight at once, as from the start where a processor has
    AVX2; `ones`: as where it has not; `rules`: every row by all rules.
    """
    global how
    how = ("eights", "ones", "rules").index(way)


def add_to(
    tallies,
    Rows rows not None,
    int64_t start=0,
    int64_t end=-1,
    const int64_t[::1] enrolled_persons=None,
    const int32_t[::1] enrolled_days=None,
    *,
    const int64_t[::1] without=None,
    const int64_t[::1] only=None,
):
    """Folds the rows [start, end) and counts their trips in each of `tallies`, in one pass.

    The rows hold whole persons. `enrolled_days` are the days on which `enrolled_persons`, in
    ascending order, became members. The persons `without` are left out; with `only`, nobody else is
    folded; both ascend. Raises `FoldRefused`; the tallies are of no more use then.
    """
    cdef Enrolled enrolled
    cdef Chosen chosen
    cdef Target target[TALLIES_MAX]
    cdef Tally tally
    cdef int fault, n = len(tallies), k
    memset(&enrolled, 0, sizeof(Enrolled))
    memset(&chosen, 0, sizeof(Chosen))
    if end < 0:
        end = rows.c.rows
    if not 0 <= start <= end <= rows.c.rows:
        raise IndexError(f"no rows {start} to {end}")
    if n > TALLIES_MAX or len({id(one) for one in tallies}) != n:
        raise ValueError(f"up to {TALLIES_MAX} tallies at once, and each once")
    for k in range(n):
        tally = tallies[k]
        target[k].t, target[k].r, target[k].w = &tally.c, &tally.rules.c, &tally.window
    if enrolled_persons is not None and enrolled_persons.shape[0]:
        if enrolled_days is None or enrolled_days.shape[0] != enrolled_persons.shape[0]:
            raise FoldRefused("Not each person enrolled has a day.", "Give a day for each.")
        enrolled.person, enrolled.day = &enrolled_persons[0], &enrolled_days[0]
        enrolled.n = enrolled_persons.shape[0]
    if without is not None and without.shape[0]:
        chosen.without, chosen.n_without = &without[0], without.shape[0]
    if only is not None:
        if not only.shape[0]:
            return
        chosen.only, chosen.n_only = &only[0], only.shape[0]
    with nogil:
        fault = tally_rows(target, n, &rows.c, &enrolled, &chosen, start, end)
    if fault:
        raise refusal(fault)
