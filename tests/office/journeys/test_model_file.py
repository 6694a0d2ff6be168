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


PHASES = {
    "orientation-to-loyalty": "orientation consideration purchase service loyalty",
    "awareness-to-loyalty": "awareness consideration purchase retention loyalty",
    "need-to-advocacy": "need orientation alternatives purchase consumption advocacy",
    "kijk-kies-koop-krijg-koester": "kijk kies koop krijg koester",
    "orientation-to-evaluation": "orientation weighing purchase use evaluation",
}


def test_the_five_models_that_ship_have_their_phases_in_order() -> None:
    models = load_models()
    assert models.keys() == PHASES.keys()
    for name, model in models.items():
        assert " ".join(phase.id for phase in model.phases) == PHASES[name]


@pytest.mark.parametrize("name", PHASES)
def test_every_phase_says_all_there_is_to_say_in_two_languages(name: str) -> None:
    for phase in load_models()[name].phases:
        texts = [phase.label, phase.goal, phase.question, *phase.channels]
        texts += [kpi.label for kpi in phase.kpis]
        assert phase.channels
        assert phase.kpis
        assert all(text.en.strip() and text.nl.strip() for text in texts)


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("trade", Trade)
def test_every_kind_falls_into_exactly_one_phase(trade: Trade, name: str) -> None:
    placement = load_models()[name].for_trade(trade)
    for kind in KINDS:
        for history in (History(0, None, False), History(1, None, True), History(9, 3, False)):
            for value in (None, 0, 3, 10):
                assert placement.rule(kind, history, value) is not None


def test_a_kind_the_model_does_not_know_has_no_phase() -> None:
    placement = load_models()["orientation-to-loyalty"].for_trade(Trade.GROCERY)
    assert placement.rule("hologram_wave", History(1, 1, False), None) is None


def test_a_shop_adds_a_model_by_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SHIPPED_TEXT.replace("orientation-to-loyalty", "our-own"))
    assert load_models(tmp_path).keys() - load_models().keys() == {"our-own"}


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


def told(text: str) -> list[str]:
    return [fault.partition(": ")[2] for fault in faults(text)]


def test_phases_that_go_back_are_circular() -> None:
    text = SHIPPED_TEXT.replace('role = "service"', 'role = "looking"')
    assert told(text) == [
        "phases[3].role: circular: a looking phase cannot come after a buying one"
    ]


def test_a_purchase_in_a_choosing_phase_is_circular() -> None:
    text = SHIPPED_TEXT.replace(
        'kinds = ["purchase"]\nphase = "purchase"', 'kinds = ["purchase"]\nphase = "consideration"'
    )
    assert told(text) == [
        "rules[7].phase: circular: a purchase cannot fall into a choosing phase, which leads to it"
    ]


def test_a_model_in_which_nobody_buys_is_refused() -> None:
    assert told(SHIPPED_TEXT.replace('role = "buying"', 'role = "service"')) == [
        "phases: no phase has the role 'buying'"
    ]


def test_a_rule_that_can_never_hold_is_told() -> None:
    text = SHIPPED_TEXT.replace(
        "when = { loop = true }", "when = { loop = true, purchases_max = 1 }"
    )
    assert told(text) == [
        "rules[5].kinds[0]: never holds for 'purchase', or an earlier rule always holds first"
    ]


def test_a_rule_in_the_shadow_of_wider_ones_is_told() -> None:
    wide = 'when = { value_min = 4 }\n\n[[rules]]\nkinds = ["rating"]\nphase = "service"\n'
    text = SHIPPED_TEXT.replace(
        "when = { value_min = 4 }\n", wide + "when = { value_min = 5 }\n", 1
    )
    assert told(text) == [
        "rules[11].kinds[0]: never holds for 'rating', or an earlier rule always holds first"
    ]


def test_a_phase_that_one_trades_settings_lead_nobody_to_is_unreachable() -> None:
    text = SHIPPED_TEXT.replace(
        """kinds = ["delivery", "return", "complaint", "service_contact", "warranty_claim"]
phase = "service"
""",
        """kinds = ["delivery", "return", "complaint", "service_contact", "warranty_claim"]
phase = "loyalty"
""",
    ).replace(
        """kinds = ["rating", "nps"]
phase = "service"
""",
        """kinds = ["rating", "nps"]
phase = "service"
when = { purchases_min = 4, purchases_max = "loyalty_purchases" }

[[rules]]
kinds = ["rating", "nps"]
phase = "loyalty"
""",
    )
    assert told(text) == [
        f"phases[3]: unreachable with the settings of {trade}: no rule that leads here holds"
        for trade in ("fashion", "hospitality", "durable_goods")
    ]


def test_more_conditions_than_can_be_gone_through_are_refused() -> None:
    rule = """[[rules]]
kinds = ["rating"]
phase = "service"
when = { purchases_min = %d, days_since_purchase_min = %d, value_min = %d }

"""
    many = "".join(rule % (n, n, n) for n in range(3, 60))
    text = SHIPPED_TEXT.replace("# Content customers", many + "# Content customers", 1)
    assert told(text) == ["rules: more conditions for the kind 'rating' than can be gone through"]


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
