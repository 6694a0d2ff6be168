"""Reads what a summary is made of where there is a history: the same figures as the tables give.

What persons did comes out of the history's columns; the tables are asked for what is not there.
"""

from typing import Any

import numpy as np
from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server import tables
from sync_server.history.counting import (
    came_back,
    count_ambassadors,
    reached,
    with_nobodys,
)
from sync_server.history.history import History, Snapshot
from sync_server.history.ledger import Decisions
from sync_server.history.looking import Look, distinct
from sync_server.history.person_counts import PersonCounts, count_persons, told
from sync_server.history.selling import count_sales
from sync_server.history.standing import Counts, Whose, unnamed
from sync_server.history.view import Parts
from sync_server.journeys.campaign_reading import (
    first_decisions,
    read_campaigns,
    read_trial_names,
)
from sync_server.journeys.care import USED, CareTally, CareWhole
from sync_server.journeys.checkout import Tills
from sync_server.journeys.columns import Stores, read_refused, read_vouchers, within
from sync_server.journeys.day_reading import Days, read_days
from sync_server.journeys.number_columns import read_numbers
from sync_server.journeys.persons import Persons
from sync_server.journeys.tally import SalesTally, VoucherTally, Window
from sync_server.journeys.touchpoint import MINUTE_MS
from sync_server.journeys.vouchers import UPLIFT_MS, CampaignsWhole, CampaignTally, Trial


class Live:
    """A history's answers about windows."""

    def __init__(self, history: History, snapshot: Snapshot, stores: Stores) -> None:
        self._history, self._snapshot = history, snapshot
        self._of: dict[Window, PersonCounts] = {}
        self._view, self._vocabulary = snapshot.view, snapshot.vocabulary
        self._ledger = snapshot.ledger
        self._stores = stores

    def days(self, connection: Connection, window: Window) -> Days | None:
        """`read_days`."""
        if self._ledger is None:
            return read_days(connection, window, self.buyers)
        return self._ledger.days(window, self.buyers)

    def vouchers(self, connection: Connection, window: Window) -> VoucherTally:
        """`columns.read_vouchers`."""
        if self._ledger is None:
            return read_vouchers(connection, self._stores, window)
        refused = read_refused(connection, self._stores, window)
        return self._ledger.voucher_counts(window, refused)

    def campaign_counts(
        self, connection: Connection, window: Window, known: Days | None
    ) -> CampaignTally:
        """`read_campaigns`."""
        if self._ledger is None:
            return read_campaigns(connection, self._stores, window, known)
        return self._ledger.campaigns(window, self._now_ms(window))

    def sales(self, window: Window) -> tuple[SalesTally, Tills]:
        """`columns.read_sales` and the sales of `checkout_reading`, of a window of some persons."""
        look = self._look(window)
        return count_sales(self._view, look, window.only, self._history.run_all)

    def buyers(self, window: Window) -> int:
        """How many persons have a sale in a window."""
        return self._persons(window).buyers

    def care(
        self, connection: Connection, window: Window, nobodys: dict[str, int]
    ) -> tuple[CareTally, CareWhole]:
        """`read_care` and `read_care_whole`; `nobodys` are the touchpoints of nobody, by kind."""
        look, now_ms = self._look(window), self._now_ms(window)
        of = self._persons(window)
        tally = of.care if window.has_filters else with_nobodys(of.care, nobodys)
        used = read_numbers(connection, _referrals(self._stores, window))
        found = count_ambassadors(self._view, look, used, now_ms)
        return tally, CareWhole(*found, of.rewarded)

    def campaigns(
        self, connection: Connection, window: Window, same_trip_minutes: int
    ) -> CampaignsWhole:
        """`read_campaigns_whole`."""
        now_ms = self._now_ms(window)
        look = Look(self._view, self._vocabulary, window, window.holders)
        trials: dict[str, Trial] = {}
        for name in self._trial_names(connection, window):
            person, at_ms, least, most = self._decisions(connection, window, name)
            upto_ms = at_ms + UPLIFT_MS
            above_ms = at_ms + same_trip_minutes * MINUTE_MS
            is_back = came_back(self._view, look, person, above_ms, upto_ms)
            trials[name] = _trial(least, most, upto_ms > now_ms, is_back)
        return CampaignsWhole(trials, self._persons(window).after_cents)

    def reached(self, connection: Connection, window: Window, campaign: str) -> Persons:
        """`narrowing.read_reached`."""
        # A voucher that was not printed is no touchpoint.
        if self._ledger is None:
            offered = read_offered(connection, self._stores, window, campaign)
        else:
            offered = self._ledger.offered(window, campaign)
        persons = [offered, reached(self._look(window), campaign)]
        return Persons(distinct(np.concatenate(persons)))

    def _trial_names(self, connection: Connection, window: Window) -> list[str]:
        if self._ledger is None:
            return read_trial_names(connection, self._stores, window)
        return self._ledger.trial_names(window)

    def _decisions(self, connection: Connection, window: Window, name: str) -> Decisions:
        if self._ledger is None:
            decided = first_decisions(self._stores, window, name)
            return Decisions(*read_numbers(connection, decided))
        return self._ledger.decisions(window, name)

    def _persons(self, window: Window) -> PersonCounts:
        """What is kept of a window, or counted once of one with filters."""
        if window in self._of:
            return self._of[window]
        look, now_ms = self._look(window), self._now_ms(window)

        def count_in(parts: Parts, whose: Whose) -> Counts:
            some, holders = (look.over(parts, persons) for persons in whose)
            return count_persons(some, holders, now_ms, window.campaign)

        question = (unnamed(window), window.only is not None, now_ms)
        whose = Whose(window.only, window.holders)
        found = self._history.counts(self._snapshot, question, count_in, whose)
        self._of[window] = told(found)
        return self._of[window]

    def _look(self, window: Window) -> Look:
        return Look(self._view, self._vocabulary, window, window.only)

    def _now_ms(self, window: Window) -> int:
        return self._stores.begins_ms(self._stores.home_zone, window.now_day)


def _referrals(stores: Stores, window: Window) -> Any:
    sent = tables.SentTouchpoint
    store_id: Any = col(sent.store_id)
    return select(col(sent.referrer), col(sent.person), col(sent.occurred_at_ms)).where(
        col(sent.referrer).is_not(None),
        col(sent.person).is_not(None),
        col(sent.kind) == USED,
        within(stores, window, col(sent.occurred_at_ms), store_id, col(sent.person)),
    )


def read_offered(connection: Connection, stores: Stores, window: Window, campaign: str) -> Any:
    """The persons who were offered a voucher of a campaign, in any order, some twice."""
    v = tables.Voucher
    offered = select(col(v.person)).where(
        col(v.campaign) == campaign,
        col(v.person).is_not(None),
        within(stores, window, col(v.reserved_at_ms), col(v.store_id)),
    )
    (found,) = read_numbers(connection, offered)
    return found


def _trial(least: Any, most: Any, is_waiting: Any, is_back: Any) -> Trial:
    is_both = least != most
    counts = ~is_both & ~is_waiting
    is_held = counts & (most == 1)
    is_offered = counts & (most == 0)

    def number(those: Any) -> int:
        return int(np.count_nonzero(those))

    return Trial(
        offered=number(is_offered),
        offered_back=number(is_offered & is_back),
        held_out=number(is_held),
        held_out_back=number(is_held & is_back),
        waiting=number(~is_both & is_waiting),
        both=number(is_both),
    )
