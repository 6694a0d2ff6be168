"""Words, numbers and dates in the reader's language. Pure but for reading the words once."""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sync_server.errors import OfficeError
from sync_server.journeys.model import Label

LANGUAGES = ("en", "nl")
_WORDS = Path(__file__).parent / "words"
_MINUTES_A_DAY = 1_440
_ACCEPT_CHARS_MAX = 256


class Wording:
    """How things are said in one language: "en" or "nl"."""

    def __init__(self, language: str, words: Mapping[str, Any]) -> None:
        self.language = language
        self._words = words
        self.months: list[str] = words["months"]
        self.months_short: list[str] = words["months_short"]
        self.decimal, self.thousands = (",", ".") if language == "nl" else (".", ",")

    def __call__(self, key: str, **values: object) -> str:
        """The words for a key, with `values` put in."""
        return self._words[key].format(**values)

    def problem(self, error: OfficeError) -> tuple[str, str]:
        """What went wrong and what to do, in the reader's language where we have the words."""
        key = f"problem_{error.code}"
        if key not in self._words:
            return error.message, error.fix
        return self._words[key], self._words[f"{key}_fix"]

    def kind(self, name: str) -> str:
        """A touchpoint's kind, a reason, a way of linking: as words where we have some."""
        return self._words.get(f"kind_{name}", name.replace("_", " "))

    def label(self, label: Label) -> str:
        """A model's text."""
        return label.nl if self.language == "nl" else label.en

    def number(self, number: float, digits: int = 0) -> str:
        """12345.6 → "12,346"; with `digits` behind the point."""
        text = f"{number:,.{digits}f}"
        return text.translate(str.maketrans(",.", self.thousands + self.decimal))

    def money(self, cents: int) -> str:
        """Cents as an amount, without a currency."""
        return self.number(cents / 100, 2)

    def share(self, part: float, whole: float) -> str:
        """A part of a whole as a percentage; a dash when the whole is nothing."""
        return f"{self.number(100 * part / whole, 1)}%" if whole else "–"

    def signed(self, number: float, digits: int = 0) -> str:
        """A number with its sign: "+1.5", "−2.0", "±0.0"."""
        text = self.number(abs(number), digits)
        is_nothing = not any(digit in text for digit in "123456789")
        return f"{'±' if is_nothing else '+' if number > 0 else '−'}{text}"

    def change(self, now: float, before: float) -> str | None:
        """The change since the period before, in per cent; None when there was nothing."""
        if not before:
            return None
        percent = 100 * (now - before) / before
        sign = "+" if percent > 0 else "−" if percent < 0 else "±"
        return f"{sign}{self.number(abs(percent), 1)}%"

    def minutes(self, minutes: float) -> str:
        """A length of time, in the unit that suits it."""
        if minutes >= 2 * _MINUTES_A_DAY:
            return self("days", n=self.number(minutes / _MINUTES_A_DAY, 1))
        if minutes >= 2 * 60:
            return self("hours", n=self.number(minutes / 60, 1))
        return self("minutes", n=self.number(minutes))

    def day(self, day: date) -> str:
        """14 May 2017."""
        return f"{day.day} {self.months[day.month - 1]} {day.year}"

    def month(self, day: date) -> str:
        """May 2017."""
        return f"{self.months[day.month - 1]} {day.year}"

    def moment(self, at: datetime) -> str:
        """14 May 2017, 10:05."""
        return f"{self.day(at.date())}, {at:%H:%M}"


@cache
def wording(language: str) -> Wording:
    """The wording of one of `LANGUAGES`."""
    words = tomllib.loads((_WORDS / f"{language}.toml").read_text(encoding="utf-8"))
    return Wording(language, words)


def choose_language(asked: str, accept_language: str) -> str:
    """The language asked for, else the one the browser prefers (RFC 9110, 12.5.4), else English."""
    if asked in LANGUAGES:
        return asked
    wishes: list[tuple[float, str]] = []
    for part in accept_language[:_ACCEPT_CHARS_MAX].split(","):
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        wishes.append((weight, tag.strip().lower().split("-")[0]))
    for weight, language in sorted(wishes, key=lambda wish: -wish[0]):
        if weight > 0 and language in LANGUAGES:
            return language
    return LANGUAGES[0]
