"""RFM segments as the pages say them. Pure."""

from sync_server.dashboard.page import Row
from sync_server.dashboard.wording import Wording
from sync_server.journeys.rfm import CLASSES, RfmName
from sync_server.journeys.summary import Summary


def rfm_rows(summary: Summary, words: Wording) -> list[Row]:
    """Each segment: customers, their share, turnover and its share, days ago, the period before."""
    now, before = summary.current.rfm, summary.previous and summary.previous.rfm
    if now is None:
        return []
    earlier = {found.segment: found.persons for found in (before.segments if before else ())}
    total = sum(found.turnover_cents for found in now.segments)
    return [
        Row(
            words(f"rfm_{found.segment}"),
            (
                words.number(found.persons),
                words.share(found.persons, now.persons),
                words.money(found.turnover_cents),
                words.share(found.turnover_cents, total),
                words.number(found.median_days_ago),
                words.number(earlier.get(found.segment, 0)) if before else "–",
            ),
        )
        for found in now.segments
    ]


def rfm_notes(summary: Summary, words: Wording) -> list[tuple[str, str]]:
    """What each segment with anybody in it is."""
    now = summary.current.rfm
    names = [found.segment for found in now.segments] if now else []
    return [(words(f"rfm_{name}"), words(f"rfm_{name}_about")) for name in names]


def rfm_grid(summary: Summary, words: Wording) -> list[Row]:
    """Customers by recency (the best on top) and frequency."""
    now = summary.current.rfm
    if now is None:
        return []
    return [
        Row(
            words("rfm_recency", n=recency),
            tuple(words.number(count) for count in now.cells[recency - 1]),
        )
        for recency in range(CLASSES, 0, -1)
    ]


SEGMENTS = tuple(RfmName)
