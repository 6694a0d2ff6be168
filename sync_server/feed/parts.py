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
from sync_server.tables import Till
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
    """The keys of all enrolled tills that are not revoked, and the office's own."""
    found = connection.execute(
        select(col(Till.till_id), col(Till.public_key))
        .where(col(Till.public_key).is_not(None), col(Till.revoked_at_ms).is_(None))
        .order_by(col(Till.till_id))
    )
    tills = tuple(VoucherKey(till_id, key) for till_id, key in found if key is not None)
    return (VoucherKey(OFFICE_ISSUER, office.keys.public_key()), *tills)
