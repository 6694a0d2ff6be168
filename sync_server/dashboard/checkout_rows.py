"""Checkouts by store and till, and opportunities, as the pages say them. Pure."""

from collections.abc import Sequence

from sync_server.dashboard.page import Row
from sync_server.dashboard.paint import place_name
from sync_server.dashboard.wording import Wording
from sync_server.journeys.checkout import Till
from sync_server.journeys.model import Model
from sync_server.journeys.summary import Summary

NOTHING = "–"
ROWS_MAX = 25
"""Rows of a table on the page; the API has all."""


def store_rows(summary: Summary, names: dict[str, str], words: Wording) -> list[Row]:
    """Stores with most obstacles first, the period before beside them."""
    earlier = {of.store: of for of in (summary.previous.stores if summary.previous else ())}
    return [
        Row(
            names.get(now.store, now.store),
            (*_cells(now, words), _obstacles(earlier.get(now.store), words)),
        )
        for now in summary.current.stores[:ROWS_MAX]
    ]


def till_rows(summary: Summary, names: dict[str, str], words: Wording) -> list[Row]:
    """Tills with most obstacles first."""
    tills: Sequence[Till] = summary.current.tills[:ROWS_MAX]
    return [
        Row(f"{names.get(now.store, now.store)} · {now.till}", _cells(now, words)) for now in tills
    ]


def opportunity_rows(
    model: Model, summary: Summary, names: dict[str, str], words: Wording
) -> list[Row]:
    """Where most is lost: what, where, trips, value, share of all, the value before."""
    earlier = {
        (of.kind, of.phase, of.store): of
        for of in (summary.previous.opportunities if summary.previous else ())
    }
    rows: list[Row] = []
    for now in summary.current.opportunities[:ROWS_MAX]:
        before = earlier.get((now.kind, now.phase, now.store))
        phase = place_name(model, now.phase, words)
        rows.append(
            Row(
                words(f"loss_{now.kind}", phase=phase),
                (
                    words("no_store") if now.store is None else names.get(now.store, now.store),
                    words.number(now.trips),
                    words.money(now.lost_cents),
                    words.share(now.share, 1),
                    words.money(before.lost_cents) if before else NOTHING,
                ),
            )
        )
    return rows


def _cells(till: Till, words: Wording) -> tuple[str, ...]:
    seconds = till.seconds
    per_hundred = (
        till.failed_scans,
        till.voided_lines,
        till.refused_cards,
        till.refused_vouchers,
    )
    return (
        words.number(till.sales),
        words("seconds", n=words.number(seconds.median, 1)) if seconds else NOTHING,
        words("seconds", n=words.number(seconds.p90, 1)) if seconds else NOTHING,
        *(words.number(100 * n / till.sales, 1) if till.sales else NOTHING for n in per_hundred),
        words.number(till.printer_faults),
        words.number(till.other_faults),
        _obstacles(till, words),
    )


def _obstacles(till: Till | None, words: Wording) -> str:
    if till is None or till.obstacles_a_hundred is None:
        return NOTHING
    return words.number(till.obstacles_a_hundred, 1)
