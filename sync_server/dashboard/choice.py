"""What a reader chose on the summary's page: model, trade, period, store. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple, TypedDict
from urllib.parse import urlencode

from sync_server.dashboard.wording import Wording
from sync_server.errors import Refused
from sync_server.journeys.model import Trade

DEFAULT_DAYS = 28
PRESET_DAYS = (1, 7, 28)
ONE_DAY = timedelta(days=1)

Recorded = tuple[date, date] | None


class Chosen(NamedTuple):
    """What was chosen, as the form shows it again. `first` and `last` are days, both included."""

    model: str
    trade: str
    first: str
    last: str
    store: str
    group: str = ""
    campaign: str = ""
    segment: str = ""

    def trade_known(self) -> Trade:
        """The trade; raises `Refused`."""
        if self.trade not in set(Trade):
            message = f"There is no trade {self.trade!r}."
            raise Refused(404, "unknown_trade", message, f"Take one of: {', '.join(Trade)}.")
        return Trade(self.trade)

    def filters(self) -> "Narrowed":
        """What the summary is narrowed to, as its API takes it; without what is not asked."""
        asked = Narrowed()
        if self.store:
            asked["store"] = [self.store]
        if self.group:
            asked["group"] = [self.group]
        if self.segment:
            asked["segment"] = [self.segment]
        if self.campaign:
            asked["campaign"] = self.campaign
        return asked

    def first_day(self) -> date | None:
        """The first day of the period; raises `Refused`."""
        return _day(self.first) if self.first else None

    def end_day(self) -> date | None:
        """The day after the last; raises `Refused`."""
        if not self.last:
            return None
        last = _day(self.last)
        return last if last == date.max else last + ONE_DAY


class Narrowed(TypedDict, total=False):
    """Filters by the names that the API gives them."""

    store: list[str]
    group: list[str]
    segment: list[str]
    campaign: str


class Preset(NamedTuple):
    """A period to choose with one click."""

    label: str
    url: str
    is_chosen: bool


def chosen_by_default(chosen: Chosen, recorded: Recorded) -> Chosen:
    """The choice with a period: the last weeks recorded when no day was given."""
    if recorded is None or chosen.first or chosen.last:
        return chosen
    return chosen._replace(first=str(_days_up_to(recorded, DEFAULT_DAYS)), last=str(recorded[1]))


def presets(chosen: Chosen, recorded: Recorded, path: str, words: Wording) -> list[Preset]:
    """The periods worth a click: shorter ones up to the last day recorded, and all."""
    if recorded is None:
        return []
    length = (recorded[1] - recorded[0]).days + 1
    found: list[Preset] = []
    for days in (*(days for days in PRESET_DAYS if days < length), length):
        label = words("all_days")
        if days < length:
            label = words("last_one_day") if days == 1 else words("last_days", n=days)
        here = chosen._replace(first=str(_days_up_to(recorded, days)), last=str(recorded[1]))
        query = urlencode({**here._asdict(), "lang": words.language})
        found.append(Preset(label, f"{path}?{query}", here == chosen))
    return found


def narrowed_to(chosen: Chosen, names: Mapping[str, str], words: Wording) -> list[str]:
    """What a page is narrowed to, in words: stores, then campaign, then segment."""
    places = [names.get(chosen.store, chosen.store)] if chosen.store else []
    places += [words("in_group", name=chosen.group)] if chosen.group else []
    said = [" + ".join(places) or words("all_stores")]
    if chosen.campaign:
        said.append(words("in_campaign", name=chosen.campaign))
    if chosen.segment:
        said.append(words(f"rfm_{chosen.segment}"))
    return said


def _days_up_to(recorded: tuple[date, date], days: int) -> date:
    return max(recorded[0], recorded[1] - timedelta(days=days - 1))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refused(400, "date", f"{text!r} is no day.", "Write it like 2017-05-14.") from error
