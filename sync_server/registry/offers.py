"""Offers: the follow-up vouchers tills print. One simple table; campaigns come later."""

from secrets import token_bytes

from sqlalchemy import Connection, select, update
from sqlmodel import col

from sync_server.database import upsert
from sync_server.errors import RegistryError
from sync_server.registry.generations import Part, next_generation
from sync_server.tables import TEXT_CHARS_MAX
from sync_server.tables import Offer as OfferTable
from wire.events import CENTS_MAX
from wire.feed import Offer

VALID_DAYS_MAX = 3650
HOLDOUT_KEY_BYTES = 16


def add_offer(connection: Connection, offer: Offer, now_ms: int) -> None:
    """Adds an offer, or changes the one of that campaign. Raises `RegistryError`."""
    for what, text in (("campaign", offer.campaign), ("text", offer.text)):
        if not 0 < len(text) <= TEXT_CHARS_MAX or not text.isprintable():
            raise RegistryError(
                "offer",
                f"The {what} of an offer cannot be {text[:40]!r}.",
                f"Take 1 to {TEXT_CHARS_MAX} printable characters.",
            )
    if not (
        0 <= offer.value_cents <= CENTS_MAX
        and 1 <= offer.valid_days <= VALID_DAYS_MAX
        and 0 <= offer.minimum_cents <= CENTS_MAX
    ):
        raise RegistryError(
            "offer",
            "An offer's value, days or minimum are out of bounds.",
            f"Amounts are 0 to {CENTS_MAX} cents, days 1 to {VALID_DAYS_MAX}.",
        )
    if not 0 <= offer.holdout_share < 1:
        raise RegistryError(
            "offer",
            f"A share of {offer.holdout_share:g} cannot be held out.",
            "Give 0 (nobody) or more and less than 1: 0.1 is one in ten.",
        )
    key = select(col(OfferTable.holdout_key)).where(col(OfferTable.campaign) == offer.campaign)
    known = connection.execute(key).scalar_one_or_none()
    row = {
        "campaign": offer.campaign,
        "text": offer.text,
        "value_cents": offer.value_cents,
        "valid_days": offer.valid_days,
        "minimum_cents": offer.minimum_cents,
        "holdout_share": offer.holdout_share,
        # Of a campaign that is changed the key stays: who is held out stays so.
        "holdout_key": known or offer.holdout_key or token_bytes(HOLDOUT_KEY_BYTES),
        "withdrawn_at_ms": None,
    }
    terms = ("text", "value_cents", "valid_days", "minimum_cents", "holdout_share", "holdout_key")
    changed = (*terms, "withdrawn_at_ms")
    upsert(connection, OfferTable, [row], update=changed)
    next_generation(connection, Part.OFFERS, now_ms)


def withdraw_offer(connection: Connection, campaign: str, now_ms: int) -> None:
    """Tills stop printing it with their next look at the feed. Raises `RegistryError`."""
    done = connection.execute(
        update(OfferTable)
        .where(col(OfferTable.campaign) == campaign, col(OfferTable.withdrawn_at_ms).is_(None))
        .values(withdrawn_at_ms=now_ms)
    )
    if not done.rowcount:
        raise RegistryError(
            "offer_unknown",
            f"No offer of campaign {campaign} is out.",
            "See which are: klantreis-office offers list",
        )
    next_generation(connection, Part.OFFERS, now_ms)


def current_offers(connection: Connection) -> tuple[Offer, ...]:
    """The offers that are out, by campaign."""
    found = connection.execute(
        select(
            col(OfferTable.campaign),
            col(OfferTable.text),
            col(OfferTable.value_cents),
            col(OfferTable.valid_days),
            col(OfferTable.minimum_cents),
            col(OfferTable.holdout_share),
            col(OfferTable.holdout_key),
        )
        .where(col(OfferTable.withdrawn_at_ms).is_(None))
        .order_by(col(OfferTable.campaign))
    )
    return tuple(
        Offer(campaign, text, value_cents, valid_days, minimum_cents, share, key or b"")
        for campaign, text, value_cents, valid_days, minimum_cents, share, key in found
    )
