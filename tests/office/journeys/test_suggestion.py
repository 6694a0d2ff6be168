"""`models suggest`: a shop's own settings, out of its days between purchases."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from sync_server.cli import app_for
from sync_server.errors import OfficeError
from sync_server.journeys.model import SETTING_NAMES, Settings, Trade
from sync_server.journeys.model_file import SHIPPED, ModelFilesError, load_models, parse_model
from sync_server.journeys.suggestion import (
    Proposal,
    Rhythm,
    rewritten,
    rhythm_of,
    roles_of,
    settings_with,
    suggest,
)
from sync_server.journeys.touchpoint import Touchpoint

if TYPE_CHECKING:
    from tests.office.journeys.conftest import Shop, WholeYear

MODELS = load_models()
MODEL = MODELS["orientation-to-loyalty"]
GROCERY = MODEL.settings[Trade.GROCERY]
MERGED = """
WITH follows AS (
    SELECT *, coalesce(store = lag(store) OVER w AND day = lag(day) OVER w
                       AND ts - lag(ts) OVER w <= INTERVAL 10 MINUTE, false) AS goes_on
    FROM basket WINDOW w AS (PARTITION BY person ORDER BY ts, basket_id)
), apart AS (
    SELECT person, date_diff('day', lag(day) OVER w, day) AS days, goes_on
    FROM follows WINDOW w AS (PARTITION BY person ORDER BY ts, basket_id)
), own AS (
    SELECT person, quantile_disc(days, 0.5) AS days FROM apart
    WHERE NOT goes_on AND days IS NOT NULL GROUP BY person
)
SELECT count(*), quantile_disc(days, 0.5), quantile_disc(days, 0.9) FROM own
"""


def proposed(rhythm: Rhythm, now: Settings = GROCERY) -> dict[str, Proposal]:
    return {proposal.setting: proposal for proposal in suggest(rhythm, now)}


def test_a_real_grocers_settings_are_those_of_its_households(whole_year: "WholeYear") -> None:
    rows = whole_year.ask(
        "SELECT person, at_ms, date_diff('day', DATE '1970-01-01', day), basket_id, store"
        " FROM basket ORDER BY person, at_ms, basket_id"
    )
    touchpoints = (
        Touchpoint(person, at_ms, day, "t", 1, seq, str(seq), "purchase", store=store)
        for person, at_ms, day, seq, store in rows
    )
    found = proposed(rhythm_of(touchpoints, roles_of(MODEL), 10))
    ((persons, usual, slow),) = whole_year.ask(MERGED)
    loyalty, lapse = found["loyalty_days"], found["lapse_days"]
    assert (loyalty.samples, loyalty.measured) == (persons, usual)
    assert lapse.measured == 3 * slow
    assert (loyalty.proposed, loyalty.now) == (7, 7)
    assert lapse.proposed == found["start_up_days"].proposed == 56
    assert found["quiet_days"].measured is None  # a till alone sees nobody looking
    assert settings_with(found.values()).quiet_days == GROCERY.quiet_days


def test_a_shops_ways_and_service_are_measured_where_it_records_them() -> None:
    touchpoints: list[Touchpoint] = []

    def add(person: int, day: int, kind: str, reference: str | None = None) -> None:
        seq = len(touchpoints)
        touchpoints.append(
            Touchpoint(person, day * 86_400_000, day, "t", 1, seq, str(seq), kind, store="s",
                       reference=reference)
        )  # fmt: skip

    for person in range(40):
        add(person, 100, "web_visit")
        add(person, 105, "price_check")
        add(person, 108, "purchase", f"p{person}")
        add(person, 118, "return", f"p{person}")
        add(person, 119, "return", "not known")
        add(person, 178, "purchase", f"q{person}")
        add(person, 200, "web_visit")  # led to nothing
    found = proposed(rhythm_of(touchpoints, roles_of(MODEL), 10))
    quiet, service = found["quiet_days"], found["service_days"]
    assert (quiet.measured, quiet.samples, quiet.proposed) == (5, 80, 7)
    assert (service.measured, service.samples, service.proposed) == (10, 40, 14)
    assert (found["loyalty_days"].measured, found["loyalty_days"].proposed) == (70, 70)


def test_baskets_of_one_trip_have_no_interval() -> None:
    def purchase(minute: int, day: int = 10, store: str = "s") -> Touchpoint:
        at_ms = day * 86_400_000 + minute * 60_000
        return Touchpoint(1, at_ms, day, "t", 1, minute, str(minute), "purchase", store=store)

    day = [purchase(0), purchase(9), purchase(19), purchase(19, store="other")]
    rhythm = rhythm_of([*day, purchase(0, 20, "other")], {}, 10)
    assert rhythm.medians == {0: 1}  # 0 (the other store) and 10


def test_too_few_customers_say_nothing() -> None:
    with pytest.raises(OfficeError, match="29 known customers") as refused:
        suggest(Rhythm(medians={5: 29}), GROCERY)
    assert refused.value.fix


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.integers(0, 50_000), st.integers(30, 90), min_size=1),
    st.dictionaries(st.integers(0, 50_000), st.integers(0, 90)),
    st.sampled_from(list(Trade)),
    st.sampled_from(sorted(MODELS)),
)
def test_a_file_with_any_settings_proposed_is_a_model_or_is_refused(
    medians: dict[int, int], spans: dict[int, int], trade: Trade, name: str
) -> None:
    model, text = MODELS[name], (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
    proposals = suggest(Rhythm(medians, spans, spans), model.settings[trade])
    try:
        found = parse_model(rewritten(text, "own", trade, proposals).encode(), "own.toml")
    except ModelFilesError as error:
        assert "never holds" in error.message or "unreachable" in error.message  # noqa: PT017
        return
    assert found.id == "own"
    assert found.settings[trade] == settings_with(proposals)
    assert (found.rules, found.phases) == (model.rules, model.phases)
    others = set(Trade) - {trade}
    assert all(found.settings[other] == model.settings[other] for other in others)


def test_a_file_that_writes_its_settings_in_another_way_is_refused_with_what_to_do() -> None:
    text = (SHIPPED / "orientation-to-loyalty.toml").read_text(encoding="utf-8")
    text = text.replace("[settings.grocery]", '[settings."grocery"]')
    with pytest.raises(OfficeError, match="cannot be changed") as refused:
        rewritten(text, "own", Trade.GROCERY, suggest(Rhythm({20: 30}), GROCERY))
    assert "[settings.grocery]" in refused.value.fix


@pytest.fixture
def data(shop: "Shop", database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    for person in range(1, 31):
        for month in (1, 2, 3):
            shop.sale(f"2017-0{month}-10T10:00", person)
    shop.save()
    return tmp_path / "data"


def said(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app_for(["models"]), ["models", *arguments, "--data", str(data)])
    if isinstance(result.exception, OfficeError):
        raise result.exception
    assert result.exception is None, result.output
    return result.output


def test_the_command_writes_a_model_that_the_office_then_has(data: Path) -> None:
    told = said(data, "suggest").splitlines()
    assert [line.split()[0] for line in told[1:9]] == list(SETTING_NAMES)
    (loyalty,) = (line.split()[:5] for line in told if line.startswith("loyalty_days"))
    assert loyalty == ["loyalty_days", "7", "28", "28", "30"]
    (data / "models").mkdir(parents=True)
    own = data / "models" / "own.toml"
    assert "own.toml: orientation-to-loyalty" in said(data, "suggest", "--out", str(own))
    assert ["own-orientation-to-loyalty", "own"] in [x.split()[:2] for x in said(data).splitlines()]
    label = parse_model(own.read_bytes(), "own").label
    assert label.nl == "Van oriëntatie naar loyaliteit (eigen instellingen)"
    assert parse_model(own.read_bytes(), "own").settings[Trade.GROCERY].loyalty_days == 28
    with pytest.raises(OfficeError, match="cannot be written") as refused:
        said(data, "suggest", "--out", str(own))
    assert "new file" in refused.value.fix


def test_a_shop_that_is_too_young_is_told_so(shop: "Shop", data: Path) -> None:
    shop.wipe()
    with pytest.raises(OfficeError, match="0 known customers"):
        said(data, "suggest")
