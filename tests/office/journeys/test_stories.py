"""Hand-made journeys, told in files: `stories/*.story`.

`>` is a touchpoint (in the order of arrival), `=` a trip as it must come out. A story's time zone
is UTC and day 0 is 2017-05-14; its trade is grocery and its recording began on day 0 unless it
says otherwise.
"""

from pathlib import Path

import pytest

from sync_server.journeys.model import Placement, Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.touchpoint import DAY_MS, MINUTE_MS, Touchpoint, in_order
from sync_server.journeys.trips import Journey, Recording, Standing, Trip, journeys

STORIES = sorted((Path(__file__).parent / "stories").glob("*.story"))
SAYINGS = ("as of day", "recording began day", "enrolled day", "trade", "lapses on day")
DAY_ZERO = 17_300
PERSON = 1


def touchpoint(text: str, number: int) -> Touchpoint:
    """`day 0 10:00 purchase receipt=A store=north …`, the `number`-th of its story."""
    _, day, clock, kind, *pairs = text.split()
    hours, minutes = clock.split(":")
    extra = dict(pair.split("=") for pair in pairs)
    at_ms = (DAY_ZERO + int(day)) * DAY_MS + (int(hours) * 60 + int(minutes)) * MINUTE_MS
    return Touchpoint(
        person=PERSON,
        occurred_at_ms=at_ms,
        day=at_ms // DAY_MS,
        till=extra.get("till", "t1"),
        epoch=1,
        seq=int(extra.get("event", number + 100)),
        id=f"{number:03}",
        kind=kind,
        store=extra.get("store", "s1"),
        amount_cents=100,
        reference=extra.get("receipt"),
        cause=extra.get("cause"),
        voucher=extra.get("voucher"),
        value=int(extra["value"]) if "value" in extra else None,
    )


def told(trip: Trip, placement: Placement) -> str:
    """A trip in the words of a story."""
    phases = [phase.id for phase in placement.model.phases]
    kinds = [
        f"{placed.touchpoint.kind}({'-' if placed.phase is None else phases[placed.phase]})"
        for placed in trip.touchpoints
    ]
    text = f"trip {trip.number}, day {trip.opened_day - DAY_ZERO}: {' '.join(kinds)}"
    text += f" -> {trip.outcome}"
    if trip.standing is not None:
        text += f", {'first unknown' if trip.standing is Standing.UNKNOWN else trip.standing}"
    if trip.days_since_purchase is not None:
        text += f" after {trip.days_since_purchase} days"
    if trip.caused_by is not None:
        text += f", loop of {trip.caused_by}"
    return text


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_the_story_comes_out_as_it_is_told(path: Path) -> None:
    lines = path.read_text().splitlines()
    touchpoints = [touchpoint(line[2:], n) for n, line in enumerate(lines) if line[:1] == ">"]
    said = {
        name: line[len(name) + 1 :] for name in SAYINGS for line in lines if line.startswith(name)
    }
    trade = Trade(said.get("trade", "grocery"))
    placement = load_models()["orientation-to-loyalty"].for_trade(trade)
    enrolled = {PERSON: DAY_ZERO + int(said["enrolled day"])} if "enrolled day" in said else {}
    recording = Recording(DAY_ZERO + int(said.get("recording began day", 0)), enrolled)
    journey: Journey
    (journey,) = journeys(
        in_order(touchpoints), placement, DAY_ZERO + int(said["as of day"]), recording
    )
    assert [told(trip, placement) for trip in journey.trips] == [
        line[2:] for line in lines if line[:1] == "="
    ]
    if "lapses on day" in said:
        assert journey.lapse_day == DAY_ZERO + int(said["lapses on day"])
