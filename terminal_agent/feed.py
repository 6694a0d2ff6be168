"""The feed: what the office lets this till know, fetched in parts and swapped in.

One request waits at the office until a part changes, and tells it what this till has in force. Each
part is kept as a file with its version, so a till that starts off-line knows what it knew. A part
that cannot be used is not kept: the one before stays in force, and the other parts are taken.
"""

import threading
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import msgspec
import structlog

from native.matcher import IndexRefused
from terminal_agent.download import Piece
from terminal_agent.errors import OfficeRefused, OfficeUnreachable, TillError
from terminal_agent.identify import gtin13
from terminal_agent.identity import Identity, verify
from terminal_agent.known import Known
from terminal_agent.member_files import MemberFiles, keep
from terminal_agent.members import MemberLookup
from terminal_agent.office import FeedPart, Jitter, Office, retry_wait_s
from terminal_agent.office_keys import good_keys, key_unknown, learn, without_ended
from wire.feed import (
    FEED_WAIT_S_MAX,
    FeedError,
    OfferList,
    PartName,
    Product,
    ProductList,
    SpentVouchers,
    decode_feed,
    is_version,
)
from wire.office_keys import OfficeKeyList
from wire.vouchers import VoucherRefusal

POLL_S = 10.0
"""Between two questions that the office answers at once and that bring nothing."""
SPREAD_S_MAX = 0.3
"""Tills that learn of a change together do not fetch it together."""
BYTES_A_SECOND_MAX = 512 * 1024
"""What a till takes of the line on average when much changes: it rests after a large part."""
PIECE = Piece(4 * 1024 * 1024, 1.0)
"""Of a new base, while the one before is in force: so long nobody hears of a new member."""
PIECE_PAUSE_S = 0.25
SPENT_DELTA = "vouchers-delta"
NO_DELTA = "base"
"""The office has no deltas over the base that the till has."""
NO_PLACE = "downloads"
"""The office sends the base to as many tills as it can at this moment."""
SIGNED_PARTS = (PartName.MEMBERS, PartName.MEMBERS_DELTA)
PARTS = (
    PartName.OFFICE_KEYS,
    PartName.OFFERS,
    PartName.VOUCHERS,
    PartName.MEMBERS,
    PartName.MEMBERS_DELTA,
    PartName.PRODUCTS,
)

log = structlog.get_logger("feed")

_FAILURES = (OfficeRefused, OfficeUnreachable, FeedError, IndexRefused, OSError)
_Spent = Mapping[str, VoucherRefusal]


class _Versions(msgspec.Struct):
    versions: dict[str, str]


@dataclass
class Feed:
    """The feed of one till in `directory`. `changed` gets each new `Known`."""

    directory: Path
    identity: Identity
    office: Office
    jitter: Jitter
    changed: Callable[[Known], None]
    answered: Callable[[], None] = lambda: None
    """Told after each answer of the office: it is there, and `office` knows what it asks for."""
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        self.known = Known(token=self.identity.token, verify=verify)
        self._stopped = threading.Event()
        self._versions: dict[str, str] = {}
        self._spent_since = ""
        self._spent: _Spent = {}
        self._fetched_bytes = 0
        self._newest = ""
        """The office's base, as it last said."""
        self._base_seen = ""
        self._is_in_pieces = False
        """A new base is under way; between its pieces everything else comes."""
        self._ended_base = ""
        """A base that this till has, and that the office has no deltas over any more."""
        self._base_not_before_s = 0.0
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.problem: TillError | None = None
        """What a person has to do before members come again; None when nothing."""
        self._unfollowed = ""
        """The version of the office's keys that this till could not come to."""
        self._members = MemberFiles(
            self.directory,
            self.identity.key.identifier_key,
            lambda: [key.public_key for key in self.identity.office_keys],
            lambda: good_keys(self.identity.office_keys, self.office.now_ms()),
            self._members_damaged,
        )

    def load(self) -> None:
        """Takes up what was kept. What cannot be used is fetched again."""
        try:
            kept = msgspec.json.decode(self._file("versions").read_bytes(), type=_Versions)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        loads = {
            PartName.PRODUCTS: lambda: self._take_products(self._read(PartName.PRODUCTS)),
            PartName.OFFERS: lambda: self._take_offers(self._read(PartName.OFFERS)),
            PartName.VOUCHERS: self._load_vouchers,
            PartName.MEMBERS: lambda: self._load_members(kept.versions),
        }
        for part, load in loads.items():
            version = kept.versions.get(part, "")
            if version and is_version(version):
                try:
                    load()
                    self._versions[part] = version
                except (OSError, FeedError, IndexRefused) as error:
                    log.warning("feed part not usable", part=part, reason=str(error))
        self.changed(self.known)

    def stop(self) -> None:
        self._stopped.set()
        self.office.abort()

    def run(self) -> None:
        """Asks until stopped. No failure ends it."""
        failures = 0
        while not self._stopped.is_set():
            asked_at = time.monotonic()
            self._fetched_bytes = 0
            try:
                is_fresh = self._step(FEED_WAIT_S_MAX)
                failures = 0
            except _FAILURES as error:
                failures += 1
                if failures == 1 and not self._stopped.is_set():
                    log.warning("feed", reason=str(error))
                told_s = error.retry_after_s if isinstance(error, OfficeUnreachable) else 0.0
                self._stopped.wait(retry_wait_s(failures, self.jitter, told_s))
                continue
            if is_fresh and self._is_in_pieces:
                wait_s = PIECE_PAUSE_S
            elif is_fresh:
                wait_s = self._fetched_bytes / BYTES_A_SECOND_MAX
            elif time.monotonic() - asked_at < FEED_WAIT_S_MAX / 2:
                wait_s = POLL_S * (0.5 + self.jitter())
            else:
                wait_s = SPREAD_S_MAX * self.jitter()
            self._stopped.wait(wait_s)

    def step(self) -> bool:
        """Asks once, without waiting; says whether any part was new."""
        return self._step(0)

    def _step(self, wait_s: int) -> bool:
        known = {str(part): self._versions.get(part, "") for part in PARTS}
        known[PartName.OFFICE_KEYS] = self.identity.key.office_keys_version
        is_put_off = time.monotonic() < self._base_not_before_s
        versions = self.office.versions(known, wait_s, self._later(is_put_off))
        self.answered()
        self._newest = versions.get(PartName.MEMBERS, "")
        is_under_way = (PartName.MEMBERS,) if self._is_in_pieces else ()
        if wait_s and any(
            versions.get(part, has) != has
            for part, has in known.items()
            if part not in is_under_way
        ):
            self._stopped.wait(SPREAD_S_MAX * self.jitter())
        is_fresh = False
        failure: Exception | None = None
        for part, take in (
            # First: what comes then may be signed with a new key.
            (PartName.OFFICE_KEYS, self._fetch_office_keys),
            (PartName.OFFERS, self._fetch_offers),
            (PartName.VOUCHERS, self._fetch_vouchers),
            (PartName.MEMBERS, self._fetch_base),
            (PartName.MEMBERS_DELTA, self._fetch_delta),
            (PartName.PRODUCTS, self._fetch_products),
        ):
            if self._stopped.is_set():
                break
            # Read anew: a base that was fetched came with its delta.
            has = known[part] if part is PartName.OFFICE_KEYS else self._versions.get(part, "")
            if versions.get(part, "") == has or part not in versions:
                continue
            if self.problem is not None and part in SIGNED_PARTS:
                continue
            if part is PartName.MEMBERS and self._puts_off(versions[part]):
                # Deltas over the base that is here go on; the next question waits for those.
                is_fresh = is_fresh or not is_put_off
                continue
            if part is PartName.MEMBERS_DELTA and part in self._later(True):
                continue
            try:
                if take(versions[part]):
                    is_fresh = True
                    # In force at once: the next part may not come.
                    self.changed(self.known)
            except OfficeUnreachable as error:
                if part is not PartName.MEMBERS or error.code != NO_PLACE:
                    raise
                # The base alone has to wait; prices and vouchers go on.
                pause_s = retry_wait_s(0, self.jitter, error.retry_after_s)
                self._base_not_before_s = time.monotonic() + pause_s
                is_fresh = True
            except _FAILURES as error:
                failure = failure or error
        if failure is not None:
            raise failure
        self._forget_ended_keys()
        return is_fresh

    def _later(self, is_put_off: bool) -> tuple[PartName, ...]:
        """What the till does not wait for: with `is_put_off` the base, and a delta it cannot get;
        what is signed, while it cannot tell whether the office signed it."""
        if self.problem is not None:
            return (PartName.OFFICE_KEYS, *SIGNED_PARTS)
        if not is_put_off:
            return ()
        base = self._versions.get(PartName.MEMBERS, "")
        return (PartName.MEMBERS,) if base and base != self._ended_base else SIGNED_PARTS

    def _puts_off(self, base: str) -> bool:
        """Whether a base that is new is left for later.

        Tills have each a moment of its own in the window that the office names. A till that finds
        no member at all does not wait.
        """
        if not self._versions.get(PartName.MEMBERS) or base == self._versions[PartName.MEMBERS]:
            return False
        if base != self._base_seen:
            self._base_seen = base
            share = spread_share(self.identity.till_id, base)
            self._base_not_before_s = time.monotonic() + share * self.office.base_spread_s
        return time.monotonic() < self._base_not_before_s

    def _fetch_office_keys(self, version: str) -> bool:
        if version == self._unfollowed:
            return False
        answer = self._fetch(PartName.OFFICE_KEYS, self.identity.key.office_keys_version)
        if answer is None:
            return False
        said = decode_feed(answer.data, OfficeKeyList)
        now_ms = self.office.now_ms()
        trusted = learn(self.identity.office_keys, said.statements, now_ms, verify)
        if said.present not in good_keys(trusted, now_ms):
            self._unfollowed = answer.version
            self.problem = key_unknown(self.identity.till_id)
            log.error("office key unknown", message=self.problem.message, fix=self.problem.fix)
            self.changed(self.known)
            return False
        # On the disk before anything that it signed.
        self.identity.trust(trusted, answer.version)
        self._unfollowed, self.problem = "", None
        return True

    def _forget_ended_keys(self) -> None:
        trusted, now_ms = self.identity.office_keys, self.office.now_ms()
        if len(good_keys(trusted, now_ms)) == len(trusted):
            return
        needed = without_ended(trusted, now_ms, self._members.signer())
        if needed and len(needed) < len(trusted):
            self.identity.trust(needed, self.identity.key.office_keys_version)
            log.info("a key of the office is no longer taken", keys=len(needed))

    def _fetch_products(self, version: str) -> bool:
        return self._fetch_whole(PartName.PRODUCTS, self._take_products)

    def _fetch_offers(self, version: str) -> bool:
        return self._fetch_whole(PartName.OFFERS, self._take_offers)

    def _fetch_whole(self, part: PartName, take: Callable[[bytes], None]) -> bool:
        answer = self._fetch(part, self._versions.get(part))
        if answer is None:
            return False
        # Usable first, then kept: a part that is none leaves the old one where it is.
        take(answer.data)
        self._keep(part, answer.data)
        self._now_at({part: answer.version})
        return True

    def _fetch_vouchers(self, version: str) -> bool:
        has = self._versions.get(PartName.VOUCHERS)
        answer = self._fetch(f"vouchers?since={self._spent_since}", has)
        if answer is None:
            return False
        spent = decode_feed(answer.data, SpentVouchers)
        self._take_vouchers(spent)
        if spent.since:
            self._keep(SPENT_DELTA, answer.data)
        else:
            self._file(SPENT_DELTA).unlink(missing_ok=True)
            self._keep(PartName.VOUCHERS, answer.data)
        self._now_at({PartName.VOUCHERS: answer.version})
        return True

    def _fetch_base(self, version: str) -> bool:
        download = self._members.download
        self._is_in_pieces = False
        if not (download.is_whole and download.version == version):
            began = download.size
            # Who has members finds those that come meanwhile; who has none waits for nothing else.
            piece = PIECE if self._versions.get(PartName.MEMBERS) else None
            self.office.download(PartName.MEMBERS, download, piece)
            self._fetched_bytes += max(0, download.size - began)
            self._is_in_pieces = piece is not None and not download.is_whole
        if self._is_in_pieces:
            return True
        # With the delta of that very base: nobody who was removed is found in between.
        base = download.version
        delta = self._fetch(f"members-delta?base={base}", None) or FeedPart("", b"")
        self._take_members(self._members.take_base(delta.data))
        self._now_at({PartName.MEMBERS: base, PartName.MEMBERS_DELTA: delta.version})
        return True

    def _fetch_delta(self, version: str) -> bool:
        base = self._versions.get(PartName.MEMBERS, "")
        if not base:
            return False
        try:
            has = self._versions.get(PartName.MEMBERS_DELTA)
            delta = self._fetch(f"members-delta?base={base}", has)
            if delta is None:
                return False
            lookup = self._members.take_delta(delta.data)
        except (OfficeRefused, IndexRefused) as error:
            if isinstance(error, OfficeRefused) and error.code == NO_DELTA and base != self._newest:
                # The new base will come at this till's moment; until then there is this one.
                log.info("no more deltas over this base", base=base)
                self._ended_base = base
                return False
            if isinstance(error, IndexRefused) or error.code == NO_DELTA:
                log.warning("the member index is fetched anew", reason=error.message)
                self._forget_members()
            raise
        self._take_members(lookup)
        self._now_at({PartName.MEMBERS_DELTA: delta.version})
        return True

    def _fetch(self, target: str, has: str | None) -> FeedPart | None:
        answer = self.office.feed(target, has)
        self._fetched_bytes += 0 if answer is None else len(answer.data)
        return answer

    def _load_vouchers(self) -> None:
        self._take_vouchers(decode_feed(self._read(PartName.VOUCHERS), SpentVouchers))
        if self._file(SPENT_DELTA).exists():
            self._take_vouchers(decode_feed(self._read(SPENT_DELTA), SpentVouchers))

    def _load_members(self, versions: Mapping[str, str]) -> None:
        delta = versions.get(PartName.MEMBERS_DELTA, "")
        if delta and is_version(delta):
            try:
                self._take_members(self._members.load(with_delta=True))
                self._versions[PartName.MEMBERS_DELTA] = delta
                return
            except (OSError, IndexRefused) as error:
                log.warning("feed part not usable", part="members-delta", reason=str(error))
        self._take_members(self._members.load(with_delta=False))

    def _take_products(self, data: bytes) -> None:
        products = decode_feed(data, ProductList).products
        self.known = replace(self.known, products=_by_code(products))

    def _take_offers(self, data: bytes) -> None:
        offers = decode_feed(data, OfferList)
        keys: dict[str, tuple[bytes, ...]] = {}
        for key in offers.voucher_keys:
            keys[key.issuer] = (*keys.get(key.issuer, ()), key.public_key)
        self.known = replace(self.known, offers=offers.offers, voucher_keys=keys)

    def _take_vouchers(self, spent: SpentVouchers) -> None:
        if not spent.since:
            self._spent_since, self._spent = spent.version, _by_voucher(spent)
            self.known = replace(self.known, spent=self._spent)
        elif spent.since == self._spent_since:
            self.known = replace(self.known, spent=ChainMap(_by_voucher(spent), dict(self._spent)))
        else:
            raise FeedError("what came to the spent vouchers belongs to another list")

    def _take_members(self, lookup: MemberLookup) -> None:
        self.known = replace(
            self.known, find_member=lookup.find_member, near_members=lookup.near_members
        )

    def _members_damaged(self, error: IndexRefused) -> None:
        # A page has rotted on this disk. The sale goes on; the files are fetched anew.
        log.error("member index", reason=error.message)
        self._forget_members()

    def _forget_members(self) -> None:
        self._versions.pop(PartName.MEMBERS, None)
        self._versions.pop(PartName.MEMBERS_DELTA, None)

    def _now_at(self, versions: Mapping[str, str]) -> None:
        self._versions.update(versions)
        self._keep("versions", msgspec.json.encode(_Versions(self._versions)))

    def _keep(self, name: str, data: bytes) -> None:
        temporary = self._file(f"{name}.new")
        keep(temporary, data)
        temporary.replace(self._file(name))

    def _read(self, name: str) -> bytes:
        return self._file(name).read_bytes()

    def _file(self, name: str) -> Path:
        return self.directory / name


def spread_share(till_id: str, version: str) -> float:
    """Where in a window this till fetches this version, 0 to 1: another place for each version."""
    digest = blake2b(f"{till_id} {version}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32


def _by_code(products: tuple[Product, ...]) -> Mapping[str, Product]:
    return {gtin13(product.code) or product.code: product for product in products}


def _by_voucher(spent: SpentVouchers) -> dict[str, VoucherRefusal]:
    return {
        f"{issued.issuer}/{serial}": refusal
        for refusal, lists in (
            (VoucherRefusal.ALREADY_REDEEMED, spent.redeemed),
            (VoucherRefusal.VOID, spent.void),
        )
        for issued in lists
        for serial in issued.serials
    }
