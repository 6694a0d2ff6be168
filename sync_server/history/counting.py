"""What persons did after a complaint, a redemption or an offer, out of the history. Pure.

`journeys.care_reading` and `journeys.campaign_reading` ask the tables the same; the tests hold the
two together.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from sync_server.history.arrays import Array, np
from sync_server.history.counted import counted
from sync_server.history.looking import (
    NONE,
    Look,
    after,
    distinct,
    following,
    located,
    spans,
    spans_of,
)
from sync_server.history.part import Part, counted_from
from sync_server.history.view import View
from sync_server.journeys.care import (
    AFTER_DAYS,
    ANSWER,
    COMPLAINT,
    FIRST,
    GIVEN,
    RETURN,
    REWARDS,
    USED,
    CareTally,
    Next,
)
from sync_server.journeys.touchpoint import DAY_MS, MINUTE_MS, PURCHASE
from sync_server.journeys.vouchers import REDEEMED, UPLIFT_MS

AFTER_MS = AFTER_DAYS * DAY_MS


_KINDS = (COMPLAINT, RETURN, GIVEN, USED, *REWARDS)


def count_care(look: Look, now_ms: int) -> tuple[CareTally, int]:
    """The counts of what a look asks for, and how many persons used a reward."""
    counts: dict[str, int] = dict.fromkeys(_KINDS, 0)
    tally, rewarded = CareTally(), 0
    for part, left_out in look.parts():
        rewards = [part.person[:0]]
        for kind in counts:
            rows = look.here(part, left_out, part.rows_of(look.kind(kind)))
            counts[kind] += len(rows)
            if kind in REWARDS:
                rewards.append(part.person[rows])
            elif kind == COMPLAINT and len(rows):
                _follow(tally, look, part, rows, now_ms)
        rewarded += len(np.unique(np.concatenate(rewards)))
    return with_nobodys(tally, counts), rewarded


def with_nobodys(tally: CareTally, counts: dict[str, int]) -> CareTally:
    """A tally with touchpoints of nobody, counted by kind."""
    found = {kind: counts.get(kind, 0) for kind in _KINDS}
    return replace(
        tally,
        complaints=tally.complaints + found[COMPLAINT],
        returns=tally.returns + found[RETURN],
        referrals_given=tally.referrals_given + found[GIVEN],
        referrals_used=tally.referrals_used + found[USED],
        rewards_used=tally.rewards_used + sum(found[kind] for kind in REWARDS),
    )


def _follow(tally: CareTally, look: Look, part: Part, rows: Array, now_ms: int) -> None:
    """`care.follow`, of the complaints `rows` of a part."""
    at_ms = part.columns["at_ms"]
    span = spans(part, rows)
    since = after(part, span, at_ms[rows])
    # What comes first comes in the order of a journey, and rows have that order.
    before_now = after(part, span, np.full(len(rows), now_ms - 1))
    soon = after(part, span, np.minimum(at_ms[rows] + AFTER_MS, now_ms - 1))
    answer = following(part.rows_of(look.kind(ANSWER)), since, before_now)
    is_answered = answer != NONE
    waited = (at_ms[answer[is_answered]] - at_ms[rows[is_answered]]) // MINUTE_MS
    for minutes, count in counted(waited):
        tally.answer_minutes[minutes] = tally.answer_minutes.get(minutes, 0) + count
    found = {kind: following(part.rows_of(look.kind(kind)), since, soon) for kind in FIRST}
    first = np.minimum.reduce(list(found.values()))
    is_over = at_ms[rows] + AFTER_MS < now_ms
    said = {FIRST[kind]: (first != NONE) & (first == those) for kind, those in found.items()}
    said[Next.LEFT], said[Next.WAITING] = (first == NONE) & is_over, (first == NONE) & ~is_over
    for what, those in said.items():
        count = int(np.count_nonzero(those))
        if count:
            tally.next[what] = tally.next.get(what, 0) + count
    tally.bought_again += int(np.count_nonzero(found[PURCHASE] != NONE))


def count_ambassadors(
    view: View, look: Look, used: Sequence[Array], now_ms: int
) -> tuple[int, int]:
    """Referrers, and persons who were referred, where these bought from the referral on.

    `used` are the referrers, who was referred, and when, in milliseconds since 1970.
    """
    referrer, person, at_ms = used
    bought = np.zeros(len(person), bool)
    for part, places in located(view, person):
        span = spans_of(part, person[places])
        first = after(part, span, at_ms[places] - 1)
        last = after(part, span, np.full(len(places), now_ms - 1))
        rows = part.rows_of(look.kind(PURCHASE))
        bought[places] = following(rows, first, last) != NONE
    return len(np.unique(referrer[bought])), len(np.unique(person[bought]))


def count_after(look: Look, campaign: str | None, now_ms: int) -> dict[str, int]:
    """Campaign → what redeemers of the look's days spent after them (`CampaignsWhole`), in cents.

    Of one campaign, or of all.
    """
    names = look.vocabulary.campaigns
    cents = np.zeros(len(names), np.int64)
    asked = None if campaign is None else names.known(campaign) or -1
    for part, left_out in look.parts():
        rows = look.here(part, left_out, part.rows_of(look.kind(REDEEMED)))
        of = part.columns["campaign"][rows]
        # Another system's redemptions are of no till, and known by no sale.
        is_ours = (of > 0) & (part.columns["till"][rows] > 0)
        if asked is not None:
            is_ours &= of == asked
        rows, of = rows[is_ours], of[is_ours]
        if not len(rows):
            continue
        order = np.lexsort((rows, of, part.person[rows]))
        rows, of = rows[order], of[order]
        person, since_ms = part.person[rows], part.columns["at_ms"][rows]
        until_ms = since_ms + UPLIFT_MS
        # Of several redemptions the last one before a sale counts: each has up to the next one.
        goes_on = np.flatnonzero((person[1:] == person[:-1]) & (of[1:] == of[:-1]))
        until_ms[goes_on] = np.minimum(until_ms[goes_on], since_ms[goes_on + 1])
        span = spans(part, rows)
        first = after(part, span, since_ms)
        end = after(part, span, np.minimum(until_ms, now_ms - 1))
        sales = part.sales(look.kind(PURCHASE))
        begun = np.searchsorted(sales, first)
        many = np.maximum(np.searchsorted(sales, end) - begun, 0)
        amounts = part.columns["amount_cents"][sales[counted_from(begun, many)]]
        np.add.at(cents, np.repeat(of, many), amounts)
    return {str(names.names[code]): int(cents[code]) for code in _codes(cents)}


def came_back(view: View, look: Look, persons: Array, above_ms: Array, upto_ms: Array) -> Array:
    """Whether each of `persons` has a sale later than one instant, up to another."""
    found = np.zeros(len(persons), bool)
    for part, places in located(view, persons):
        span = spans_of(part, persons[places])
        first = after(part, span, above_ms[places])
        end = after(part, span, upto_ms[places])
        found[places] = following(part.sales(look.kind(PURCHASE)), first, end) != NONE
    return found


def reached(look: Look, campaign: str) -> Array:
    """The persons with a touchpoint of a campaign, in any order."""
    code = look.vocabulary.campaigns.known(campaign)
    found = [np.empty(0, np.int64)]
    if code is not None:
        for part, left_out in look.parts():
            rows = part.with_campaign
            rows = rows[part.columns["campaign"][rows] == code]
            found.append(distinct(part.person[look.here(part, left_out, rows)]))
    return np.concatenate(found)


def _codes(counts: Array) -> list[int]:
    """The codes that count something."""
    return np.flatnonzero(counts).tolist()
