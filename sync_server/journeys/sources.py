"""What a summary is made of beside sales, vouchers and the fold's counts. Pure.

Everything in `Sources` is additive: over disjoint days, stores or persons, tallies add up
(`tally.merge` for its parts), but for `whole`.
"""

from msgspec import Struct, field

from sync_server.journeys.care import CareTally, CareWhole
from sync_server.journeys.checkout import Tills
from sync_server.journeys.metrics import MetricTally
from sync_server.journeys.rfm import Rfm
from sync_server.journeys.vouchers import CampaignsWhole, CampaignTally


class Whole(Struct):
    """What is counted over a whole period at once, because persons count once in it."""

    campaigns: CampaignsWhole = field(default_factory=CampaignsWhole)
    rfm: Rfm | None = None
    care: CareWhole = field(default_factory=CareWhole)


class Sources(Struct):
    """Of one window."""

    metrics: MetricTally = field(default_factory=MetricTally)
    care: CareTally = field(default_factory=CareTally)
    tills: Tills = field(default_factory=Tills)
    campaigns: CampaignTally = field(default_factory=CampaignTally)
    nobodys: dict[str, int] = field(default_factory=dict[str, int])
    """Kind → touchpoints of nobody known: they are in no journey, and count as KPIs."""
    kinds_known: frozenset[str] = frozenset()
    """Kinds that were ever recorded: one that is missing here was never sent, rather than 0."""
    whole: Whole = field(default_factory=Whole)
