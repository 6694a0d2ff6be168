"""A day is the store's day."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.days import day_begins_ms, day_counter, local_time
from sync_server.journeys.touchpoint import date_of, day_of
from wire.events import MS_MAX

ZONES = ("Europe/Amsterdam", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "UTC")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "zone", "day"),
    [
        ("2017-05-14T21:59:59Z", "Europe/Amsterdam", "2017-05-14"),
        ("2017-05-14T22:00:00Z", "Europe/Amsterdam", "2017-05-15"),
        ("2017-01-14T22:59:59Z", "Europe/Amsterdam", "2017-01-14"),
        ("2017-05-14T03:59:00Z", "America/New_York", "2017-05-13"),
        ("1969-12-31T23:59:59Z", "UTC", "1969-12-31"),
    ],
)
def test_an_instant_falls_on_the_day_of_its_zone(at: str, zone: str, day: str) -> None:
    assert date_of(day_counter(ZoneInfo(zone))(ms(at))).isoformat() == day


@settings(deadline=None)
@given(at_ms=st.integers(0, 4_102_444_800_000), zone=st.sampled_from(ZONES))
def test_the_day_is_that_of_the_time_zone_database(at_ms: int, zone: str) -> None:
    there = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    assert date_of(day_counter(ZoneInfo(zone))(at_ms)) == there.date()


@settings(deadline=None)
@given(day=st.integers(5_000, 40_000), zone=st.sampled_from(ZONES))
def test_a_day_begins_where_the_one_before_ends(day: int, zone: str) -> None:
    # 30 December 2011 did not happen in Apia: its first instant is that of the 31st.
    if zone == "Pacific/Apia" and day == day_of(datetime(2011, 12, 30, tzinfo=UTC).date()):
        return
    counter = day_counter(ZoneInfo(zone))
    begins_ms = day_begins_ms(day, ZoneInfo(zone))
    assert counter(begins_ms) == day
    assert counter(begins_ms - 1) < day


@pytest.mark.parametrize("zone", ZONES)
def test_the_last_instant_there_is_has_a_day(zone: str) -> None:
    assert date_of(day_counter(ZoneInfo(zone))(MS_MAX)).year == 9999
    assert local_time(MS_MAX, ZoneInfo(zone)).year == 9999
