"""The parts of the feed as they are sent: made anew when their generation moved."""

from threading import Lock
from typing import NamedTuple

from sqlalchemy import Connection, func, select
from sqlmodel import col

from sync_server.feed.base import find_base
from sync_server.feed.downloads import Downloads, spread_s
from sync_server.feed.members import MemberFiles
from sync_server.feed.spent import spent_vouchers
from sync_server.feed.watch import FeedWatch
from sync_server.office import Office
from sync_server.registry.generations import Part, part_version
from sync_server.registry.offers import current_offers
from sync_server.registry.office_keys import key_list, voucher_keys
from sync_server.registry.products import all_products
from sync_server.registry.rotation import good_keys
from sync_server.registry.schemes import load_schemes
from sync_server.registry.tills import OFFICE_ISSUER
from sync_server.tables import Till
from wire.feed import FeedPart, OfferList, ProductList, VoucherKey, encode_feed

KEPT_MAX = 64
"""Contents kept; tills ask for spent vouchers since a few different versions."""


class FeedContent(NamedTuple):
    """A part as it is sent."""

    version: str
    data: bytes


class FeedParts:
    """What one process keeps of the feed, so that only a change costs anything."""

    def __init__(self) -> None:
        self.members = MemberFiles()
        self.watch = FeedWatch()
        self.downloads = Downloads()
        self._spread: tuple[str, int] = ("", 0)
        self._kept: dict[tuple[Part, str], FeedContent] = {}
        self._lock = Lock()

    def base_spread_s(self, office: Office, version: str) -> int:
        """Over how long tills fetch the base of that version. Builds nothing."""
        known, spread = self._spread
        if known != version:
            base = find_base(office, load_schemes(office.settings.data_dir))
            if base is None or base.label.version != version:
                return 0
            with office.database.read() as connection:
                tills = connection.execute(
                    select(func.count()).where(
                        col(Till.public_key).is_not(None), col(Till.revoked_at_ms).is_(None)
                    )
                ).scalar_one()
            spread = spread_s(tills, base.path.stat().st_size)
            self._spread = version, spread
        return spread

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

    def office_keys(self, office: Office) -> FeedContent:
        """The office's key and how tills come to it, as `wire.office_keys.OfficeKeyList`."""
        with office.database.read() as connection:
            version = part_version(connection, Part.OFFICE_KEYS)
            return self._kept_or(Part.OFFICE_KEYS, version) or self._keep(
                Part.OFFICE_KEYS, version, key_list(connection, office.keys, version)
            )

    def vouchers(self, office: Office, since: str) -> FeedContent:
        """Spent vouchers as `wire.feed.SpentVouchers`, what came `since` that version alone if that
        is much less."""
        with office.database.read() as connection:
            version = part_version(connection, Part.VOUCHERS)
            return self._kept_or(Part.VOUCHERS, version, since) or self._keep(
                Part.VOUCHERS,
                version,
                spent_vouchers(connection, version, since, office.now_ms()),
                since,
            )

    def _kept_or(self, part: Part, version: str, since: str = "") -> FeedContent | None:
        with self._lock:
            kept = self._kept.get((part, since))
        return kept if kept is not None and kept.version == version else None

    def _keep(self, part: Part, version: str, content: FeedPart, since: str = "") -> FeedContent:
        fresh = FeedContent(version, encode_feed(content))
        with self._lock:
            self._kept.pop((part, since), None)
            self._kept[part, since] = fresh
            while len(self._kept) > KEPT_MAX:
                del self._kept[next(iter(self._kept))]
        return fresh


def _voucher_keys(connection: Connection, office: Office) -> tuple[VoucherKey, ...]:
    """The office's own keys, then those of every till that are not revoked, newest first.

    A till that enrolled again, or changed its key, has several: what it printed under an older one
    stays good.
    """
    found = good_keys(connection, office.now_ms())
    own = voucher_keys(connection, office.keys, office.now_ms())
    every = [*((OFFICE_ISSUER, key) for key in own), *found]
    return tuple(dict.fromkeys(VoucherKey(issuer, key) for issuer, key in every))
