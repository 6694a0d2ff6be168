"""Which follow-up voucher a sale gets. Pure: the sale, the offers and the time decide.

The first version has one rule, the first offer of the feed that fits; caps come to this file when
there are campaigns that compete.
"""

from collections.abc import Iterable
from typing import NamedTuple

from wire.events import HeldOut, IssuedVoucher, Link
from wire.feed import Offer
from wire.holdout import is_held_out

DAY_MS = 86_400_000


class Decision(NamedTuple):
    """An offer that fits a sale, and its voucher; or no voucher, for a member held out."""

    offer: Offer
    voucher: IssuedVoucher | None

    @property
    def held_out(self) -> tuple[HeldOut, ...]:
        """What the sale tells of a member who was held out."""
        return (HeldOut(self.offer.campaign),) if self.voucher is None else ()


def decide(
    offers: Iterable[Offer], link: Link | None, total_cents: int, now_ms: int, serial: str
) -> Decision | None:
    """The first offer that fits a linked sale of at least its minimum, as a voucher; else None.

    A member whom that offer holds out gets no other one instead: their sales are to show what
    happens without.
    """
    if link is None or link.member is None:
        return None
    for offer in offers:
        if total_cents >= offer.minimum_cents:
            share = offer.holdout_share
            if share and is_held_out(offer.holdout_key, offer.campaign, link.member, share):
                return Decision(offer, None)
            ends_ms = now_ms + offer.valid_days * DAY_MS
            voucher = IssuedVoucher(serial, offer.campaign, offer.value_cents, ends_ms)
            return Decision(offer, voucher)
    return None
