"""What a summary is narrowed to: stores, a campaign, segments. Pure.

Definitions are in docs/figures.md; `narrowing` finds the persons.
"""

from msgspec import Struct

from sync_server.journeys.rfm import RfmName


class Filters(Struct, frozen=True):
    """What a summary is narrowed to; empty: everything."""

    stores: tuple[str, ...] = ()
    """Stores by their number …"""
    groups: tuple[str, ...] = ()
    """… and groups of stores: together they are the stores that are asked about."""
    campaign: str | None = None
    """Those whom a campaign reached in the period, and its own vouchers and metrics."""
    segments: tuple[RfmName, ...] = ()
    """Customers who are in one of these segments on the summary's day."""

    @property
    def narrows_persons(self) -> bool:
        """Whether some persons' journeys are asked about, rather than everybody's."""
        return self.campaign is not None or bool(self.segments)


EVERYTHING = Filters()
