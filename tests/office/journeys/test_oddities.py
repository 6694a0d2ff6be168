"""What is odd in the data: what it does to the figures, and how often it is there."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from sync_server import tables
from sync_server.cli import app_for
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import SHIPPED, ModelFilesError, Models, sound_models
from sync_server.journeys.oddities import OddityName
from sync_server.journeys.oddity_reading import oddities
from sync_server.journeys.service import DEFAULT_MODEL, choose_model, summary
from sync_server.journeys.summary import Figures
from sync_server.touchpoints.projection import FIRST_THREAD

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop

MODELS = sound_models()
MODEL = MODELS[DEFAULT_MODEL]
NOW_MS = 1_795_000_000_000
AHEAD = "2030-01-01T10:00"


def found(shop: "Shop", models: Models = MODELS) -> dict[OddityName, tuple[int, tuple[str, ...]]]:
    """What is odd, without what is not."""
    shop.save()
    return {
        odd.oddity: (odd.count, odd.examples)
        for odd in oddities(shop.database, models, MODEL, NOW_MS)
        if odd.count
    }


def may(shop: "Shop") -> Figures:
    shop.save()
    days = (date(2017, 5, 1), date(2017, 6, 1))
    return summary(shop.database, MODEL, NOW_MS, Trade.GROCERY, *days).current


def sent(shop: "Shop", number: int, **columns: Any) -> None:
    """A touchpoint as it was sent."""
    row = {"number": number, "source": "web", "source_id": str(number), "content_hash": b""}
    at = {"received_at_ms": 0, "occurred_at_ms": 0, "kind": "web_visit", "channel": "web"}
    shop.row(tables.SentTouchpoint, **row, **at, **columns)


def test_everything_is_told_also_what_is_not_there(shop: "Shop") -> None:
    told = oddities(shop.database, MODELS, MODEL, NOW_MS)
    assert [odd.oddity for odd in told] == list(OddityName)
    assert {odd.count for odd in told} == {0}


def test_a_sale_from_the_future_is_of_its_own_day_and_told_with_its_till(shop: "Shop") -> None:
    shop.sale("2017-05-10T10:00", 1)
    shop.sale(AHEAD, 1)
    shop.sale(AHEAD, 2)
    assert found(shop)[OddityName.CLOCK_AHEAD] == (2, ("till-north (2)",))
    assert may(shop).totals.sales == 1
    everything = summary(shop.database, MODEL, NOW_MS)
    assert (everything.end, everything.current.totals.sales) == (date(2017, 5, 11), 1)


def test_a_touchpoint_of_an_unknown_kind_is_told_by_kind(shop: "Shop") -> None:
    shop.moment("2017-05-09T10:00", 1, "tv_seen")
    shop.moment("2017-05-09T11:00", 2, "tv_seen")
    shop.moment("2017-05-09T12:00", 2, "billboard")
    shop.sale("2017-05-10T10:00", 1)
    assert found(shop)[OddityName.UNKNOWN_KIND] == (3, ("tv_seen (2)", "billboard (1)"))
    unmapped = {use.kind for use in may(shop).touchpoints if use.phase == "unmapped"}
    assert unmapped == {"tv_seen", "billboard"}


def test_a_sale_below_nothing_lowers_turnover_and_what_its_trip_spent(shop: "Shop") -> None:
    shop.sale("2017-05-10T10:00", 1, cents=1_000)
    shop.sale("2017-05-10T10:05", 1, cents=-400)
    assert found(shop)[OddityName.NEGATIVE_SALE] == (1, ("till-north (1)",))
    figures = may(shop)
    assert (figures.totals.turnover_cents, figures.totals.trips) == (600, 1)
    assert {way.spent_cents for way in figures.transitions} == {600}


def test_a_rating_out_of_range_is_in_no_mean(shop: "Shop") -> None:
    shop.sale("2017-05-10T10:00", 1)
    for value in (4, 0, 9, None):
        shop.moment("2017-05-11T10:00", 1, "rating", value=value)
    shop.moment("2017-05-11T10:00", 1, "nps", value=11)
    assert found(shop)[OddityName.OUT_OF_RANGE] == (4, ("rating (3)", "nps (1)"))
    figures = may(shop)
    assert [(of.ratings, of.mean) for of in figures.emotions] == [(1, 4.0)]
    assert figures.nps is None


def test_a_return_without_its_purchase_is_of_the_open_trip_or_opens_one(shop: "Shop") -> None:
    receipt = shop.sale("2017-05-10T10:00", 1)
    shop.moment("2017-05-11T10:00", 1, "return", reference=receipt)
    shop.moment("2017-05-12T10:00", 1, "return")
    shop.moment("2017-05-12T10:00", 2, "return", reference="nobody knows", channel="web")
    assert found(shop)[OddityName.RETURN_ALONE] == (2, ("store (1)", "web (1)"))
    figures = may(shop)
    assert (figures.totals.trips, figures.care.returns) == (2, 3)


def test_of_two_enrolments_the_first_counts_and_the_member_is_told(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 9)
    shop.moment("2017-05-02T10:00", 1, "enrolment")
    shop.sale("2017-05-03T10:00", 1)
    shop.moment("2017-05-04T10:00", 1, "enrolment")
    assert found(shop)[OddityName.TWO_ENROLMENTS] == (1, ("1",))
    assert (may(shop).customers.new, may(shop).customers.unknown) == (1, 1)


def test_persons_merged_and_split_and_at_odds_are_told(shop: "Shop") -> None:
    for number in (1, 2):
        shop.row(tables.Thread, number=number, token=bytes([number]), domain="web_id")
    shop.row(tables.SharedIdentifier, token=b"s", domain="web_id", since_ms=0)
    sent(shop, 1, person=7, is_conflicting=True)
    sent(shop, 2, person=7, is_conflicting=True)
    sent(shop, 3, person=FIRST_THREAD + 1)
    told = found(shop)
    assert told[OddityName.MERGED] == (1, ())
    assert told[OddityName.CONFLICTING] == (2, ("7",))
    assert told[OddityName.SHARED] == (1, ())


def test_customers_who_may_have_been_there_before_are_counted(shop: "Shop") -> None:
    shop.sale("2017-05-01T10:00", 1)
    shop.sale("2017-05-02T10:00", 2)
    shop.sale("2017-09-02T10:00", 3)  # after a quiet start: new
    assert found(shop)[OddityName.LEFT_CENSORED][0] == 2


def test_a_faulty_model_is_told_and_holds_up_no_other(shop: "Shop", tmp_path: Path) -> None:
    text = (SHIPPED / f"{DEFAULT_MODEL}.toml").read_text(encoding="utf-8")
    text = text.replace(f'id = "{DEFAULT_MODEL}"', 'id = "own"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    circular = text.replace('id = "own"', 'id = "round"')
    circular = circular.replace('role = "loyalty"', 'role = "looking"', 1)
    (tmp_path / "round.toml").write_text(circular, encoding="utf-8")
    models = sound_models(tmp_path)
    assert choose_model(models, "own").id == "own"
    count, where = found(shop, models)[OddityName.FAULTY_MODEL]
    assert count == len(models.faults) == 3
    assert "circular: a looking phase cannot come after a service one" in where[0]
    with pytest.raises(ModelFilesError, match="circular"):
        choose_model(models, "round")


def test_the_command_tells_what_to_do(
    shop: "Shop", database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    shop.sale("2017-05-10T10:00", 1, cents=-1)
    shop.save()
    result = CliRunner().invoke(
        app_for(["oddities"]), ["oddities", "--data", str(tmp_path / "data")]
    )
    assert result.exception is None, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    assert "1  Sales below nothing" in lines
    assert "0  Sales from the future: a till's clock is ahead" in lines
    after = lines[lines.index("1  Sales below nothing") + 1]
    assert after.startswith("Let the till record goods that come back as a return")
    assert after.endswith("till-north (1).")
