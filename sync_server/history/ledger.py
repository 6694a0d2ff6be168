"""What sales and vouchers add up to, by store and day, in memory. Pure.

The tables have the same: `journeys.day_reading`, `columns.read_vouchers` and `campaign_reading` ask
them, and the tests hold the two together. `ledger_reading` keeps a ledger up to date.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from sync_server.history.arrays import Array, np
from sync_server.history.blocks import Blocks, Columns
from sync_server.history.counted import counted
from sync_server.history.looking import is_among
from sync_server.journeys import tenths
from sync_server.journeys.checkout import Tills, TillTally
from sync_server.journeys.day_reading import Days
from sync_server.journeys.persons import Persons
from sync_server.journeys.rows import MANY_NAMES_MAX, Names
from sync_server.journeys.sale_days import (
    BASKET_CENTS,
    BASKETS,
    LINKED_HOW,
    NUMBERS,
    REFUSED,
    STATE,
    WHATS,
)
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.journeys.vouchers import ON_PAPER, CampaignTally

Key = TypeVar("Key")

STORE_BITS = 24
"""Of a block's number; what is above them is the day."""
NOBODY = -1
"""Stands for no person."""
NEVER_DAY, NEVER_MS = 2**31 - 1, 2**63 - 1
"""Of a voucher that was not taken."""


class LedgerNames(NamedTuple):
    """The names behind the codes of a ledger; only ever added to."""

    stores: Names
    tills: Names
    campaigns: Names
    states: Names
    names: Names
    """What is counted by name (`sale_days.WHATS`)."""

    @classmethod
    def none(cls) -> "LedgerNames":
        """No name yet."""
        return cls(*(Names((), MANY_NAMES_MAX) for _ in cls._fields))


class Decisions(NamedTuple):
    """Of each person whom a campaign decided about: when it first did, and the least and most of 0
    (offered) and 1 (held out).
    """

    persons: Array
    at_ms: Array
    least: Array
    most: Array


class Ledger(NamedTuple):
    """What all stores' days add up to. Not to be changed."""

    era: str
    change: int
    """Every change of days up to it is in."""
    names: LedgerNames
    tills: Blocks
    """A row for each till's day: `till`, `sale_days.NUMBERS`, and `tenths`, which are bytes."""
    counts: Blocks
    """What is counted by name: `what` (its place in `sale_days.WHATS`), `name`, `count`."""
    vouchers: Blocks
    """`campaign`, `state`, `person`, `at_ms` (when it was decided), `expires_at_ms`, `taken_day`,
    `taken_at_ms`; a voucher's block is the day on which it was decided."""
    redemptions: Blocks
    """`campaign`, `person`, `cents`, `is_again`; `baskets` and `basket_cents`: 1 and the sale's
    total in the first row of a sale and campaign, else 0."""
    holdouts: Blocks
    """`campaign`, `person`, `at_ms`."""

    @property
    def size(self) -> int:
        """What it takes in memory."""
        durations = sum(
            sum(map(len, rows["tenths"])) for rows in self.tills.between(-(2**62), 2**62)
        )
        return durations + sum(blocks.size for blocks in self.each())

    def each(self) -> tuple[Blocks, ...]:
        """All of its blocks."""
        return self.tills, self.counts, self.vouchers, self.redemptions, self.holdouts

    # ---------------------------------------------------------------- sales

    def days(self, window: Window, buyers: Callable[[Window], int]) -> Days | None:
        """What `day_reading.read_days` reads; None of some persons or a campaign."""
        if window.has_filters:
            return None
        names = self._named(window)
        total, tills = self._tills(window)
        sales = SalesTally(
            **{name: total[name] for name in NUMBERS if not name.startswith("redeemed")},
            persons=buyers(window),
            linked_how=names[LINKED_HOW],
            duration_tenths=_all_tenths(tills),
        )
        vouchers = VoucherTally(
            states=names[STATE],
            redeemed=total["redeemed"],
            redeemed_cents=total["redeemed_cents"],
            refused=names[REFUSED],
        )
        return Days(sales, vouchers, tills, names[BASKETS], names[BASKET_CENTS])

    def _tills(self, window: Window) -> tuple[dict[str, int], Tills]:
        """Sums over all tills, and each till with a sale."""
        lots = list(self._here(self.tills, window))
        total = {name: sum(int(rows[name].sum()) for rows in lots) for name in NUMBERS}
        durations = [took for rows in lots for took in rows["tenths"]]
        if not lots:
            return total, {}
        count = len(self.names.tills)
        key = np.concatenate([_store(rows) * count + rows["till"] for rows in lots])
        keys, place = np.unique(key, return_inverse=True)
        sums = {
            name: _added(place, np.concatenate([rows[name] for rows in lots]), len(keys))
            for name in NUMBERS
        }
        of_till: list[list[bytes]] = [[] for _ in keys]
        for till, took in zip(place.tolist(), durations, strict=True):
            of_till[till].append(took)
        tills: Tills = {}
        for number, code in enumerate(keys.tolist()):
            if sums["sales"][number]:
                store, till = divmod(code, count)
                tills[_name(self.names.stores, store), _name(self.names.tills, till)] = TillTally(
                    sales=int(sums["sales"][number]),
                    failed_scans=int(sums["failed_scans"][number]),
                    voided_lines=int(sums["voided_lines"][number]),
                    refused_cards=int(sums["unknown_identifiers"][number]),
                    tenths=tenths.count(of_till[number]),
                )
        return total, tills

    def _named(self, window: Window) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {what: {} for what in WHATS}
        width = len(self.names.names)
        total = np.zeros(len(WHATS) * width, np.int64)
        for rows in self._here(self.counts, window):
            np.add.at(total, rows["what"] * width + rows["name"], rows["count"])
        for code in np.flatnonzero(total).tolist():
            what, name = divmod(code, width)
            found[WHATS[what]][_name(self.names.names, name)] = int(total[code])
        return found

    # -------------------------------------------------------------- vouchers

    def voucher_counts(self, window: Window, refused: dict[str, int]) -> VoucherTally:
        """`columns.read_vouchers`; `refused` are those that were not taken."""
        states = np.zeros(len(self.names.states), np.int64)
        for rows in self._here(self.vouchers, window):
            states += np.bincount(rows["state"], minlength=len(states))
        lots = list(self._here(self.redemptions, window))
        return VoucherTally(
            states=_by_name(self.names.states, states),
            redeemed=sum(len(rows["key"]) for rows in lots),
            redeemed_cents=sum(int(rows["cents"].sum()) for rows in lots),
            refused=refused,
        )

    def campaigns(self, window: Window, now_ms: int) -> CampaignTally:
        """`campaign_reading.read_campaigns`; the summary's day begins at `now_ms`."""
        names = self.names.campaigns
        tally = CampaignTally()
        held = np.zeros(len(names), np.int64)
        for rows in self._here(self.holdouts, window):
            held += np.bincount(rows["campaign"], minlength=len(names))
        tally.held_out = _by_name(names, held)
        for rows in self._here(self.vouchers, window):
            self._add_vouchers(tally, rows, window.now_day, now_ms)
        self._add_redemptions(tally, window)
        return tally

    def _add_vouchers(self, tally: CampaignTally, rows: Columns, now_day: int, now_ms: int) -> None:
        names, states = self.names.campaigns, self.names.states
        campaign, state = rows["campaign"], rows["state"]
        width = len(states)
        for code, count in counted(campaign.astype(np.int64) * width + state):
            of, what = divmod(code, width)
            _add(tally.states, (_name(names, of), _name(states, what)), count)
        on_paper = np.array([name in ON_PAPER for name in states.names], bool)
        is_expired = on_paper[state] & (rows["expires_at_ms"] < now_ms)
        is_expired &= rows["taken_at_ms"] >= now_ms
        for code, count in counted(campaign[is_expired]):
            _add(tally.expired, _name(names, code), count)
        is_taken = rows["taken_day"] < now_day
        after = rows["taken_day"][is_taken] - (rows["key"][is_taken] >> STORE_BITS)
        after = np.maximum(after, 0)
        width = int(after.max(initial=0)) + 1
        for code, count in counted(campaign[is_taken].astype(np.int64) * width + after):
            of, days = divmod(code, width)
            _add(tally.taken, _name(names, of), count)
            _add(tally.taken_days, (_name(names, of), days), count)

    def _add_redemptions(self, tally: CampaignTally, window: Window) -> None:
        names = self.names.campaigns
        summed = ("cents", "is_again", "baskets", "basket_cents")
        times = np.zeros(len(names), np.int64)
        sums = {name: np.zeros(len(names), np.int64) for name in summed}
        for rows in self._here(self.redemptions, window):
            times += np.bincount(rows["campaign"], minlength=len(names))
            for name, total in sums.items():
                np.add.at(total, rows["campaign"], rows[name])
        for code in np.flatnonzero(times).tolist():
            name = _name(names, code)
            tally.redeemed[name] = int(times[code])
            tally.redeemed_cents[name] = int(sums["cents"][code])
            tally.baskets[name] = int(sums["baskets"][code])
            tally.basket_cents[name] = int(sums["basket_cents"][code])
            if sums["is_again"][code]:
                tally.again[name] = int(sums["is_again"][code])

    # --------------------------------------------------------------- persons

    def trial_names(self, window: Window) -> list[str]:
        """`campaign_reading.read_trial_names`."""
        found = [rows["campaign"] for rows in self._here(self.holdouts, window)]
        codes: list[int] = np.unique(np.concatenate(found)).tolist() if found else []
        return sorted(_name(self.names.campaigns, code) for code in codes)

    def decisions(self, window: Window, campaign: str) -> Decisions:
        """`campaign_reading.first_decisions`."""
        code = self.names.campaigns.known(campaign)
        sides = [
            (rows["person"][those], rows["at_ms"][those], held)
            for held, blocks in enumerate((self.vouchers, self.holdouts))
            for rows in self._here(blocks, window)
            for those in [np.flatnonzero((rows["campaign"] == code) & (rows["person"] != NOBODY))]
        ]
        if not sides:
            return Decisions(*(np.empty(0, np.int64) for _ in Decisions._fields))
        person = np.concatenate([who for who, _, _ in sides])
        at_ms = np.concatenate([when for _, when, _ in sides])
        held = np.concatenate([np.full(len(who), side, np.int64) for who, _, side in sides])
        persons, place = np.unique(person, return_inverse=True)
        first = np.full(len(persons), NEVER_MS)
        least, most = np.ones(len(persons), np.int64), np.zeros(len(persons), np.int64)
        np.minimum.at(first, place, at_ms)
        np.minimum.at(least, place, held)
        np.maximum.at(most, place, held)
        return Decisions(persons, first, least, most)

    def offered(self, window: Window, campaign: str) -> Array:
        """The persons who were offered a voucher of a campaign, in any order, some twice."""
        code = self.names.campaigns.known(campaign)
        found = [np.empty(0, np.int64)]
        for rows in self._here(self.vouchers, window):
            person = rows["person"][rows["campaign"] == code]
            found.append(person[person != NOBODY])
        return np.concatenate(found)

    def _here(self, blocks: Blocks, window: Window) -> Iterator[Columns]:
        """The rows of a window's days and stores; of vouchers, of its campaign and holders too."""
        campaign = window.campaign
        asked = None if campaign is None else self.names.campaigns.known(campaign)
        stores: Array | None = None
        if window.stores is not None:
            stores = np.array([store in window.stores for store in self.names.stores.names], bool)
        first, end = (day << STORE_BITS for day in (window.first_day, window.end_day))
        for rows in blocks.between(first, end):
            those = np.ones(len(rows["key"]), bool)
            if stores is not None:
                those &= stores[_store(rows)]
            if "campaign" in rows:
                if campaign is not None:
                    those &= rows["campaign"] == (-1 if asked is None else asked)
                if window.holders is not None:
                    those &= _is_of(rows["person"], window.holders)
            if those.all():
                yield rows
            elif those.any():
                yield {name: column[those] for name, column in rows.items()}


def _all_tenths(tills: Tills) -> dict[int, int]:
    total: dict[int, int] = {}
    for till in tills.values():
        for value, count in till.tenths.items():
            total[value] = total.get(value, 0) + count
    return total


def _is_of(person: Array, persons: Persons) -> Array:
    return is_among(person, np.frombuffer(persons.numbers, np.int64))


def _store(rows: Columns) -> Array:
    return rows["key"] & ((1 << STORE_BITS) - 1)


def _added(place: Array, numbers: Array, count: int) -> Array:
    total = np.zeros(count, np.int64)
    np.add.at(total, place, numbers)
    return total


def _by_name(names: Names, counts: Array) -> dict[str, int]:
    return {_name(names, code): int(counts[code]) for code in np.flatnonzero(counts).tolist()}


def _name(names: Names, code: int) -> str:
    return str(names.names[code])


def _add(counts: dict[Key, int], key: Key, count: int) -> None:
    counts[key] = counts.get(key, 0) + count
