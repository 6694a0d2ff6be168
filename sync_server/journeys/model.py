"""A journey model: its phases, and which touchpoint falls into which of them.

A model is a data file (`model_file` reads and checks it). `Model.for_trade` resolves a trade's
settings and gives the small tables that the fold works with.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Days = Annotated[int, Meta(ge=1, le=36_500)]
Number = Annotated[int, Meta(ge=0, le=1_000_000)]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Wording = Annotated[str, Meta(min_length=1, max_length=400)]


class Trade(StrEnum):
    """The trades a model ships settings for: how often people buy differs too much to share."""

    GROCERY = "grocery"
    FASHION = "fashion"
    HOSPITALITY = "hospitality"
    DURABLE_GOODS = "durable_goods"


class Role(StrEnum):
    """What a phase is for. A looking or choosing touchpoint after a purchase begins a new trip."""

    LOOKING = "looking"
    CHOOSING = "choosing"
    BUYING = "buying"
    SERVICE = "service"
    LOYALTY = "loyalty"


class Label(Struct, frozen=True):
    """A text in English and Dutch."""

    en: Wording
    nl: Wording


class Kpi(Struct, frozen=True):
    """A figure that tells how a phase goes. `id` names it wherever figures are given."""

    id: Name
    label: Label


class Phase(Struct, frozen=True):
    """A step of the journey, with the shop's goal in it and the question the customer asks."""

    id: Name
    role: Role
    label: Label
    goal: Label
    question: Label
    channels: tuple[Label, ...]
    kpis: tuple[Kpi, ...]


class Settings(Struct, frozen=True):
    """The thresholds of a trade. Days are the store's days."""

    service_days: Days
    """A trip stays open for service this long after its purchase."""
    quiet_days: Days
    """A trip without purchase has dropped off after more than this long without a touchpoint."""
    lapse_days: Days
    """A customer has lapsed after more than this long without a purchase …"""
    lapse_intervals: Annotated[int, Meta(ge=1, le=100)]
    """… or this many of their own median intervals between purchases, whichever is longer."""
    same_trip_minutes: Annotated[int, Meta(ge=0, le=1_440)]
    """Purchases in one store on one day within this many minutes are one."""
    start_up_days: Days
    """A first recorded purchase counts as first when recording began at least this long before."""
    loyalty_purchases: Annotated[int, Meta(ge=2, le=1_000)]
    """From this purchase on, buying again within `loyalty_days` is loyalty."""
    loyalty_days: Days


SETTING_NAMES = Settings.__struct_fields__


class Condition(Struct, frozen=True):
    """What must hold for a rule besides the kind; all that is given must hold.

    A threshold is a number, or the name of a setting (`"loyalty_days"`). For a purchase the
    history is what came before it, and `purchases` counts it: 1 is the first. For any other
    touchpoint `purchases` counts those made so far.
    """

    purchases_min: Number | Name | None = None
    purchases_max: Number | Name | None = None
    days_since_purchase_min: Number | Name | None = None
    days_since_purchase_max: Number | Name | None = None
    """Neither of the two holds for somebody who never bought."""
    loop: bool | None = None
    """Whether an earlier trip caused this one."""
    value_min: Number | Name | None = None
    value_max: Number | Name | None = None
    """Of a rating or an NPS answer; neither holds without a value."""


class Rule(Struct, frozen=True):
    """Which phase touchpoints of some kinds fall into. The first rule that holds counts."""

    kinds: tuple[Name, ...]
    phase: Name
    when: Condition = Condition()
    with_purchase: bool = False
    """The phase of the purchase it belongs to instead; `phase` when that is not known."""


class Model(Struct, frozen=True):
    """A journey model as its file gives it, checked."""

    id: Name
    label: Label
    phases: tuple[Phase, ...]
    settings: dict[Trade, Settings]
    rules: tuple[Rule, ...]

    def for_trade(self, trade: Trade) -> "Placement":
        """The model with the thresholds of a trade put in."""
        settings = self.settings[trade]
        place = {phase.id: index for index, phase in enumerate(self.phases)}
        table: dict[str, list[PlacementRule]] = {}
        for rule in self.rules:
            resolved = resolve(rule, place[rule.phase], settings)
            for kind in rule.kinds:
                table.setdefault(kind, []).append(resolved)
        return Placement(
            model=self,
            trade=trade,
            settings=settings,
            roles=tuple(phase.role for phase in self.phases),
            table={kind: tuple(rules) for kind, rules in table.items()},
        )


class History(Struct, frozen=True, gc=False):
    """What a touchpoint's phase depends on besides its kind and value (see `Condition`)."""

    purchases: int
    days_since_purchase: int | None
    loop: bool


Bounds = tuple[int, int] | None


class PlacementRule(Struct, frozen=True):
    """A rule with its thresholds as numbers: lowest and highest that still hold, None for any."""

    phase: int
    purchases: Bounds
    days_since_purchase: Bounds
    loop: bool | None
    value: Bounds
    with_purchase: bool

    def holds(self, history: History, value: int | None) -> bool:
        """Whether the rule's conditions hold for a touchpoint with this history and value."""
        return (
            (self.loop is None or self.loop == history.loop)
            and (self.purchases is None or _within(history.purchases, self.purchases))
            and (
                self.days_since_purchase is None
                or _within(history.days_since_purchase, self.days_since_purchase)
            )
            and (self.value is None or _within(value, self.value))
        )


class Placement(Struct, frozen=True):
    """A model with a trade's settings: the tables of the fold. Phases are their index."""

    model: Model
    trade: Trade
    settings: Settings
    roles: tuple[Role, ...]
    table: dict[str, tuple[PlacementRule, ...]]

    def rule(self, kind: str, history: History, value: int | None) -> PlacementRule | None:
        """The rule that places a touchpoint; None for a kind the model does not know."""
        for rule in self.table.get(kind, ()):
            if rule.holds(history, value):
                return rule
        return None


_ANY_MAX = 2**62


def resolve(rule: Rule, phase: int, settings: Settings) -> PlacementRule:
    """A rule that leads to the `phase`-th phase, with the thresholds of a trade put in."""
    when = rule.when
    return PlacementRule(
        phase=phase,
        purchases=_bounds(when.purchases_min, when.purchases_max, settings),
        days_since_purchase=_bounds(
            when.days_since_purchase_min, when.days_since_purchase_max, settings
        ),
        loop=when.loop,
        value=_bounds(when.value_min, when.value_max, settings),
        with_purchase=rule.with_purchase,
    )


def _bounds(lowest: int | str | None, highest: int | str | None, settings: Settings) -> Bounds:
    if lowest is None and highest is None:
        return None
    return (
        0 if lowest is None else _number(lowest, settings),
        _ANY_MAX if highest is None else _number(highest, settings),
    )


def _number(threshold: int | str, settings: Settings) -> int:
    return threshold if isinstance(threshold, int) else int(getattr(settings, threshold))


def _within(number: int | None, bounds: tuple[int, int]) -> bool:
    return number is not None and bounds[0] <= number <= bounds[1]
