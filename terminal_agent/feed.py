"""The feed: what the office lets this till know, fetched in whole parts and swapped in.

Each part is kept as a file with its version, so a till that starts off-line knows what it knew. A
part that cannot be used is not kept: the one before stays in force.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import structlog

from native.matcher import IndexRefused, MemberIndex
from terminal_agent.errors import OfficeRefused, OfficeUnreachable
from terminal_agent.identify import gtin13
from terminal_agent.identity import Identity, verify
from terminal_agent.known import Known
from terminal_agent.members import MemberLookup
from terminal_agent.office import FeedPart, Jitter, Office, retry_wait_s
from wire.feed import FeedError, OfferList, Product, ProductList, decode_feed

POLL_S = 10.0
PARTS = ("products", "offers", "members")

log = structlog.get_logger("feed")


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
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        self.known = Known(token=self.identity.token, verify=verify)
        self._stopped = threading.Event()
        self._versions: dict[str, str] = {}
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> None:
        """Takes up what was kept. What cannot be used is fetched again."""
        try:
            kept = msgspec.json.decode(self._file("versions").read_bytes(), type=_Versions)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        for part in PARTS:
            if part in kept.versions:
                try:
                    self._take_up(part, self._file(part))
                    self._versions[part] = kept.versions[part]
                except (OSError, FeedError, IndexRefused) as error:
                    log.warning("feed part not usable", part=part, reason=str(error))
        self.changed(self.known)

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Asks until stopped. No failure ends it."""
        failures = 0
        while not self._stopped.is_set():
            try:
                self.step()
                failures = 0
                wait_s = POLL_S * (0.5 + self.jitter())
            except (OfficeRefused, OfficeUnreachable, FeedError, IndexRefused, OSError) as error:
                failures += 1
                wait_s = retry_wait_s(failures, self.jitter)
                if failures == 1:
                    log.warning("feed", reason=str(error))
            self._stopped.wait(wait_s)

    def step(self) -> bool:
        """Asks for every part once; says whether any was new."""
        fresh = False
        for part in PARTS:
            answer = self.office.feed(part, self._versions.get(part))
            if answer is not None:
                self._keep(part, answer)
                # In force at once: the next part may not come, and this one is not sent again.
                self.changed(self.known)
                fresh = True
        return fresh

    def _keep(self, part: str, answer: FeedPart) -> None:
        temporary = self._file(f"{part}.new")
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(answer.data)
            stream.flush()
            os.fsync(stream.fileno())
        # Usable first, then in force: a part that is none leaves the old one where it is. The new
        # file takes the name over; a mapping of the old one stays whole until it is let go.
        self._take_up(part, temporary)
        temporary.replace(self._file(part))
        self._versions[part] = answer.version
        versions = self._file("versions.new")
        versions.write_bytes(msgspec.json.encode(_Versions(self._versions)))
        versions.replace(self._file("versions"))

    def _take_up(self, part: str, file: Path) -> None:
        if part == "products":
            products = decode_feed(file.read_bytes(), ProductList).products
            self.known = replace(self.known, products=_by_code(products))
        elif part == "offers":
            offers = decode_feed(file.read_bytes(), OfferList)
            keys: dict[str, tuple[bytes, ...]] = {}
            for key in offers.voucher_keys:
                keys[key.issuer] = (*keys.get(key.issuer, ()), key.public_key)
            self.known = replace(self.known, offers=offers.offers, voucher_keys=keys)
        else:
            index = MemberIndex.open(file, key=self.identity.key.identifier_key)
            lookup = MemberLookup(index, self._members_damaged)
            self.known = replace(
                self.known, find_member=lookup.find_member, near_members=lookup.near_members
            )

    def _members_damaged(self, error: IndexRefused) -> None:
        # A page has rotted on this disk. The sale goes on; the file is fetched anew.
        log.error("member index", reason=error.message)
        self._versions.pop("members", None)

    def _file(self, name: str) -> Path:
        return self.directory / name


def _by_code(products: tuple[Product, ...]) -> Mapping[str, Product]:
    return {gtin13(product.code) or product.code: product for product in products}
