"""Products and offers as parts of the feed: made anew when their generation moved."""

from threading import Lock
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.office import Office
from sync_server.registry.generations import Part, part_version
from sync_server.registry.offers import current_offers
from sync_server.registry.products import all_products
from sync_server.registry.tills import OFFICE_ISSUER
from sync_server.tables import TillEpoch
from wire.feed import OfferList, ProductList, VoucherKey, encode_feed


class FeedContent(NamedTuple):
    """A part as it is sent."""

    version: str
    data: bytes


class FeedParts:
    """Keeps the last content of each part, so that only a change costs anything."""

    def __init__(self) -> None:
        self._kept: dict[Part, FeedContent] = {}
        self._lock = Lock()

    def products(self, office: Office) -> FeedContent:
        """The price list as `wire.feed.ProductList`."""
        with office.database.read() as connection:
            version = part_version(connection, Part.PRODUCTS)
            return self._kept_or(Part.PRODUCTS, version) or self._keep(
                Part.PRODUCTS, version, ProductList(version, all_products(connection))
            )

    def offers(self, office: Office) -> FeedContent:
        """Offers and voucher keys as `wire.feed.OfferList`."""
        with office.database.read() as connection:
            version = part_version(connection, Part.OFFERS)
            return self._kept_or(Part.OFFERS, version) or self._keep(
                Part.OFFERS,
                version,
                OfferList(version, current_offers(connection), _voucher_keys(connection, office)),
            )

    def _kept_or(self, part: Part, version: str) -> FeedContent | None:
        with self._lock:
            kept = self._kept.get(part)
        return kept if kept is not None and kept.version == version else None

    def _keep(self, part: Part, version: str, content: ProductList | OfferList) -> FeedContent:
        fresh = FeedContent(version, encode_feed(content))
        with self._lock:
            self._kept[part] = fresh
        return fresh


def _voucher_keys(connection: Connection, office: Office) -> tuple[VoucherKey, ...]:
    """The office's own key, then those of every till's epochs that are not revoked, newest first.

    A till that enrolled again has several: what it printed under an older key stays good.
    """
    found = connection.execute(
        select(col(TillEpoch.till_id), col(TillEpoch.public_key))
        .where(col(TillEpoch.revoked_at_ms).is_(None))
        .order_by(col(TillEpoch.till_id), col(TillEpoch.epoch).desc())
    )
    own = VoucherKey(OFFICE_ISSUER, office.keys.public_key())
    return tuple(dict.fromkeys((own, *(VoucherKey(till_id, key) for till_id, key in found))))
