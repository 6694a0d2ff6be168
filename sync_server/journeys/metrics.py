"""Channel metrics: figures that exist only as totals of a day (impressions, clicks, cost). Pure."""

from collections.abc import Iterable

from msgspec import Struct, field

THOUSAND = 1_000

ByChannel = dict[tuple[str, str], int]
"""(metric, channel) → a sum."""


class MetricTally(Struct):
    """Sums over the metrics of a window; of disjoint days or stores they add up."""

    thousandths: ByChannel = field(default_factory=ByChannel)
    """The values, in thousandths."""
    cost_cents: ByChannel = field(default_factory=ByChannel)
    rows: ByChannel = field(default_factory=ByChannel)
    """How many totals were sent, by which a mean (of rankings) is taken."""

    def total(self, metric: str, channels: Iterable[str] | None = None) -> float | None:
        """The sum of a metric (in some channels); None when none was sent."""
        found = [
            value
            for (name, channel), value in self.thousandths.items()
            if name == metric and (channels is None or channel in channels)
        ]
        return sum(found) / THOUSAND if found else None

    def mean(self, metric: str) -> float | None:
        """The mean of a metric's totals; None when none was sent."""
        total = self.total(metric)
        rows = sum(count for (name, _), count in self.rows.items() if name == metric)
        return None if total is None else total / rows

    def channels(self, metric: str) -> set[str]:
        """The channels in which a metric was sent."""
        return {channel for name, channel in self.thousandths if name == metric}

    def cost(self, channels: Iterable[str] | None = None) -> int:
        """What was spent (in some channels), in cents, whichever metric it was sent with."""
        return sum(
            cents
            for (_, channel), cents in self.cost_cents.items()
            if channels is None or channel in channels
        )
