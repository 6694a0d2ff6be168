"""Cohorts as the pages say them: members by the month of their first purchase. Pure."""

from datetime import date, timedelta

from sync_server.dashboard.page import Row
from sync_server.dashboard.wording import Wording
from sync_server.journeys.summary import Summary

COHORTS_SHOWN = 12
"""The latest ones; the API has all."""
MONTHS_SHOWN = 11
"""Months after that of the first purchase."""
MONTHS_A_YEAR = 12
ONE_DAY = timedelta(days=1)


def cohort_heads(summary: Summary, words: Wording) -> list[str]:
    """The heads of the columns: the month, members, and how many months later."""
    later = [f"+{n}" for n in range(1, _months_shown(summary) + 1)]
    return [words("cohort_month"), words("members"), *later]


def cohort_rows(summary: Summary, words: Wording) -> list[Row]:
    """Each cohort: its members, and the share of them who bought so many months later.

    Empty while there is no second month to tell of. A month that has not begun has no share.
    """
    months = _months_shown(summary)
    if not months:
        return []
    last = _month(summary.as_of - ONE_DAY)
    rows: list[Row] = []
    for cohort in summary.current.cohorts[-COHORTS_SHOWN:]:
        shares = [
            words.share(cohort.bought_after.get(since, 0), cohort.persons)
            if _month(cohort.month) + since <= last
            else ""
            for since in range(1, months + 1)
        ]
        rows.append(Row(words.month(cohort.month), (words.number(cohort.persons), *shares)))
    return rows


def _months_shown(summary: Summary) -> int:
    shown = summary.current.cohorts[-COHORTS_SHOWN:]
    if not shown:
        return 0
    return min(_month(summary.as_of - ONE_DAY) - _month(shown[0].month), MONTHS_SHOWN)


def _month(day: date) -> int:
    return day.year * MONTHS_A_YEAR + day.month
