"""Words in two languages, and numbers as each writes them."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sync_server.dashboard
from sync_server.dashboard.wording import LANGUAGES, choose_language, wording
from sync_server.journeys.touchpoint import KINDS
from sync_server.journeys.trips import Outcome
from wire.vouchers import VoucherRefusal

DASHBOARD = Path(sync_server.dashboard.__file__).parent


def words_of(language: str) -> dict[str, Any]:
    return tomllib.loads((DASHBOARD / "words" / f"{language}.toml").read_text(encoding="utf-8"))


def test_both_languages_have_the_same_words_with_the_same_places_for_values() -> None:
    english, dutch = (
        {
            key: sorted(re.findall(r"{\w+}", str(text)))
            for key, text in words_of(language).items()
            if not key.startswith("kind_")
        }
        for language in LANGUAGES
    )
    assert english == dutch


def test_every_kind_and_reason_has_its_dutch_word() -> None:
    same_in_dutch = {"lead", "upsell", "share", "reservation"}
    dutch = words_of("nl")
    names = {*KINDS, *map(str, VoucherRefusal)} - same_in_dutch
    assert sorted(name for name in names if f"kind_{name}" not in dutch) == []


def test_every_outcome_has_its_words() -> None:
    assert all(wording("nl")(f"place_{outcome}") for outcome in Outcome)


def test_every_word_is_used() -> None:
    sources = [*DASHBOARD.glob("*.py"), *DASHBOARD.glob("templates/*.html")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    made_up = (
        "kind_",
        "place_",
        "trade_",
        "problem_",
        "months",
        "trip_after_",
        "rfm_",
        "loss_",
        "care_",
        "odd_",
    )
    unused = [
        key
        for key in words_of("en")
        if not key.startswith(made_up) and not re.search(rf"[\"']{key}[\"']", code)
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("nl", "en", "nl"),
        ("en", "nl", "en"),
        ("", "nl-NL,nl;q=0.9,en;q=0.8", "nl"),
        ("", "en;q=0.5, nl;q=0.7", "nl"),
        ("", "fr, nl;q=0", "en"),
        ("", "", "en"),
        ("xx", "de", "en"),
        ("", "nl;q=high", "en"),
    ],
)
def test_the_language_is_the_one_asked_for_or_preferred(
    asked: str, accepted: str, language: str
) -> None:
    assert choose_language(asked, accepted) == language


@settings(deadline=None)
@given(asked=st.text(), accepted=st.text())
def test_any_header_gives_a_language_we_have(asked: str, accepted: str) -> None:
    assert choose_language(asked, accepted) in LANGUAGES


def test_numbers_and_days_are_written_as_the_language_does() -> None:
    english, dutch = wording("en"), wording("nl")
    assert (english.money(123_456_789), dutch.money(123_456_789)) == (
        "1,234,567.89",
        "1.234.567,89",
    )
    assert (english.share(1, 8), dutch.share(1, 8)) == ("12.5%", "12,5%")
    assert (english.day(date(2017, 5, 14)), dutch.day(date(2017, 3, 1))) == (
        "14 May 2017",
        "1 maart 2017",
    )


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [(110, 100, "+10.0%"), (90, 100, "−10.0%"), (5, 5, "±0.0%"), (5, 0, None)],
)
def test_a_change_is_told_with_its_sign(now: int, before: int, told: str | None) -> None:
    assert wording("en").change(now, before) == told


@pytest.mark.parametrize(
    ("minutes", "told"), [(5, "5 min"), (180, "3.0 h"), (4_320, "3.0 days"), (0, "0 min")]
)
def test_a_length_of_time_is_told_in_the_unit_that_suits_it(minutes: int, told: str) -> None:
    assert wording("en").minutes(minutes) == told
