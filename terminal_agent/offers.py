"""Which follow-up voucher a sale gets. Pure: the sale, the offers and the time decide.

The first version has one rule, the offer of the feed; campaigns, caps and holdout come to this
file when there are campaigns.
"""

from collections.abc import Iterable

from wire.events import IssuedVoucher, Link
from wire.feed import Offer

DAY_MS = 86_400_000


def decide(
    offers: Iterable[Offer], link: Link | None, total_cents: int, now_ms: int, serial: str
) -> tuple[Offer, IssuedVoucher] | None:
    """The first offer that fits a linked sale of at least its minimum, as a voucher; else None."""
    if link is None or link.member is None:
        return None
    for offer in offers:
        if total_cents >= offer.minimum_cents:
            voucher = IssuedVoucher(
                serial, offer.campaign, offer.value_cents, now_ms + offer.valid_days * DAY_MS
            )
            return offer, voucher
    return None
