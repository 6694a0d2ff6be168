"""Service and loyalty as the pages say them. Pure."""

from sync_server.dashboard.kpi_rows import interval
from sync_server.dashboard.page import Row, beside
from sync_server.dashboard.wording import Wording
from sync_server.journeys.care import Care, Next
from sync_server.journeys.kpis import Unit
from sync_server.journeys.summary import Figures, Summary

NOTHING = "–"


def care_rows(summary: Summary, words: Wording) -> list[Row]:
    """Complaints, answers, what came next; referrals and rewards. Empty when nothing is there."""
    now, before = summary.current.care, summary.previous and summary.previous.care
    answered = [of.responses.answered for of in _periods(summary) if of.responses]
    if not any((*_of(now, before), *answered)):
        return []

    def count(name: str) -> Row:
        earlier = None if before is None else getattr(before, name)
        return beside(words(f"care_{name}"), getattr(now, name), earlier, words)

    return [
        count("returns"),
        count("complaints"),
        count("answered"),
        Row(words("care_minutes"), (_minutes(now, words), _minutes(before, words))),
        *(
            beside(words(f"care_next_{name}"), now.next[name], before and before.next[name], words)
            for name in Next
        ),
        Row(words("care_share"), (_share(now, words), _share(before, words))),
        Row(
            words("care_responses"),
            (_responses(summary.current, words), _responses(summary.previous, words)),
        ),
        count("referrals_given"),
        count("referrals_used"),
        count("ambassadors"),
        count("referred_buyers"),
        count("rewards_used"),
        count("rewarded"),
    ]


def _of(now: Care, before: Care | None) -> list[int]:
    names = ("complaints", "returns", "referrals_given", "referrals_used", "rewards_used")
    return [getattr(care, name) for care in (now, before) if care for name in names]


def _periods(summary: Summary) -> list[Figures]:
    return [of for of in (summary.current, summary.previous) if of is not None]


def _responses(figures: Figures | None, words: Wording) -> str:
    found = figures and figures.responses
    if not found:
        return NOTHING
    share = words.share(found.answered, found.trips)
    return (
        share
        if found.interval is None
        else f"{share} ({interval(found.interval, Unit.SHARE, words)})"
    )


def _minutes(care: Care | None, words: Wording) -> str:
    if care is None or care.answer_minutes is None:
        return NOTHING
    return words.minutes(care.answer_minutes.median)


def _share(care: Care | None, words: Wording) -> str:
    if care is None or care.bought_again_share is None:
        return NOTHING
    share = words.share(care.bought_again_share, 1)
    found = care.bought_again_interval
    return share if found is None else f"{share} ({interval(found, Unit.SHARE, words)})"
