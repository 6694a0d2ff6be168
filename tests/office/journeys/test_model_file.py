"""Model files: what ships is right, and what is wrong is told all at once."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.journeys.model import History, Trade
from sync_server.journeys.model_file import (
    MODEL_BYTES_MAX,
    SHIPPED,
    ModelFilesError,
    load_models,
    parse_model,
)
from sync_server.journeys.touchpoint import KINDS

SHIPPED_TEXT = (SHIPPED / "orientation-to-loyalty.toml").read_text()


def faults(text: str) -> list[str]:
    with pytest.raises(ModelFilesError) as caught:
        parse_model(text.encode(), "shop.toml")
    return [str(fault) for fault in caught.value.faults]


def test_the_model_that_ships_has_its_five_phases_in_order() -> None:
    model = load_models()["orientation-to-loyalty"]
    assert [phase.id for phase in model.phases] == [
        "orientation",
        "consideration",
        "purchase",
        "service",
        "loyalty",
    ]


@pytest.mark.parametrize("trade", Trade)
def test_every_kind_falls_into_exactly_one_phase(trade: Trade) -> None:
    placement = load_models()["orientation-to-loyalty"].for_trade(trade)
    for kind in KINDS:
        for history in (History(0, None, False), History(1, None, True), History(9, 3, False)):
            for value in (None, 0, 3, 10):
                assert placement.rule(kind, history, value) is not None


def test_a_kind_the_model_does_not_know_has_no_phase() -> None:
    placement = load_models()["orientation-to-loyalty"].for_trade(Trade.GROCERY)
    assert placement.rule("hologram_wave", History(1, 1, False), None) is None


def test_a_shop_adds_a_model_by_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SHIPPED_TEXT.replace("orientation-to-loyalty", "our-own"))
    assert sorted(load_models(tmp_path)) == ["orientation-to-loyalty", "our-own"]


def test_a_second_model_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SHIPPED_TEXT)
    with pytest.raises(ModelFilesError, match="there is another model 'orientation-to-loyalty'"):
        load_models(tmp_path)


def test_all_faults_of_a_file_are_told_at_once_with_line_and_key() -> None:
    text = SHIPPED_TEXT
    text = text.replace('role = "looking"', 'role = "loking"')
    text = text.replace("service_days = 30", "service_days = 0", 1)
    text = text.replace('nl = "Overweging"', "nl = 7")
    text = text.replace('kinds = ["purchase"]', 'kinds = ["purchase"]\nfaze = "loyalty"', 1)
    lines = [line.split(" #")[0] for line in text.splitlines()]
    role, label = 'role = "loking"', 'label = { en = "Consideration", nl = 7 }'
    faze = 'faze = "loyalty"'
    expected = [
        (role, "phases[0].role: Invalid enum value 'loking'"),
        (label, "phases[1].label.nl: Expected `str`, got `int`"),
        ("service_days = 0", "settings.grocery.service_days: Expected `int` >= 1"),
        (faze, "rules[5].faze: unknown; known here: kinds, phase, when, with_purchase"),
    ]
    assert faults(text) == [
        f"shop.toml, line {lines.index(line) + 1}: {told}" for line, told in expected
    ]


def test_faults_of_sense_are_told_at_once_too() -> None:
    text = SHIPPED_TEXT
    text = text.replace(
        'kinds = ["rating", "nps"]\nphase = "service"', 'kinds = ["nps"]\nphase = "aftercare"'
    )
    text = text.replace('purchases_min = "loyalty_purchases"', 'purchases_min = "loyal_ones"')
    text = text.replace("purchases_max = 0", "purchases_min = 2, purchases_max = 1")
    text = text.replace('kinds = ["voucher_redeemed",', 'kinds = ["voucher_redeemed", "purchase",')
    known = "service_days, quiet_days, lapse_days, lapse_intervals, same_trip_minutes"
    known += ", start_up_days, loyalty_purchases, loyalty_days"
    phases = "orientation, consideration, purchase, service, loyalty"
    assert [fault.partition(": ")[2] for fault in faults(text)] == [
        "rules[3].when.purchases_min: 2 is more than purchases_max, 1",
        f"rules[6].when.purchases_min: no setting 'loyal_ones'; the settings are: {known}",
        f"rules[12].phase: no phase 'aftercare'; the phases are: {phases}",
        "rules[13].kinds[1]: never reached: rules[7] already takes every 'purchase'",
        "rules: no rule without conditions for the kind 'rating'",
    ]


def test_a_phase_that_no_rule_leads_to_is_a_fault() -> None:
    lonely = SHIPPED_TEXT.replace('phase = "orientation"', 'phase = "consideration"')
    assert ["no rule leads to the phase 'orientation'" in fault for fault in faults(lonely)] == [
        True
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "not UTF-8 at byte 0"),
        (b"id = ", "not TOML: "),
        (b"x" * (MODEL_BYTES_MAX + 1), "larger than"),
        (b"a = " + b"[" * 5_000, "not TOML: "),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ModelFilesError, match=reason):
        parse_model(data, "shop.toml")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, len(SHIPPED_TEXT)), put=st.text(max_size=20))
def test_a_mangled_file_is_refused_or_read_but_never_crashes(cut: int, put: str) -> None:
    mangled = (SHIPPED_TEXT[:cut] + put + SHIPPED_TEXT[cut + len(put) :]).encode()
    with suppress(ModelFilesError):
        parse_model(mangled, "shop.toml")


def test_an_error_says_what_to_do() -> None:
    with pytest.raises(ModelFilesError) as caught:
        parse_model(b"", "shop.toml")
    assert caught.value.fix
    assert "phases: is missing" in caught.value.message
