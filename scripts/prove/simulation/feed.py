"""The feed in the simulation: the office's door for it, and what tills must know in the end.

What `sync_server.feed.routes` does with a request is done here without a server.
"""

from hashlib import sha256
from urllib.parse import parse_qs

import msgspec

from scripts.prove.simulation.ledger import CARDS, card_number
from scripts.prove.simulation.network import Answer, Message
from scripts.prove.simulation.world import Violation
from sync_server.errors import Refused
from sync_server.feed.acknowledged import note_held
from sync_server.feed.conditional import NotModified, OutOfRange, Slice, Whole, choose
from sync_server.feed.parts import FeedContent, FeedParts
from sync_server.feed.routes import repr_digest
from sync_server.feed.spent import spent_vouchers
from sync_server.feed.versions import feed_versions
from sync_server.office import Office
from sync_server.registry.members import member_facts
from sync_server.registry.offers import current_offers
from sync_server.registry.office_keys import office_keys, present_of
from terminal_agent.feed import Feed
from terminal_agent.known import Known
from terminal_agent.office_keys import good_keys
from wire.feed import FeedVersions, read_known
from wire.vouchers import VoucherRefusal


class FeedDoor:
    """Answers what tills ask of the feed; lives as long as the office's process."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._parts = FeedParts()

    def answer(self, till_id: str, message: Message) -> Answer:
        """The answer to a signed request of `till_id`. Raises `Refused`."""
        office = self._office
        path, _, query = message.target.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        match path.removeprefix("/v1/feed").removeprefix("/"):
            case "":
                known = read_known(asked.get("known", ""))
                note_held(office, till_id, known)
                versions = feed_versions(office, known.get("members", ""))
                return Answer(200, msgspec.json.encode(FeedVersions(versions, office.now_ms())))
            case "offers":
                return _whole(message, self._parts.offers(office))
            case "products":
                return _whole(message, self._parts.products(office))
            case "office-keys":
                return _whole(message, self._parts.office_keys(office))
            case "vouchers":
                return _whole(message, self._parts.vouchers(office, asked.get("since", "")))
            case "members-delta":
                delta = self._parts.members.delta(office, asked["base"])
                if not delta.version:
                    return Answer(204, b"")
                return _whole(message, FeedContent(delta.version, delta.data))
            case "members":
                return self._base(message)
            case other:
                raise Violation(f"a till asks for a part that there is not: {other}")

    def _base(self, message: Message) -> Answer:
        base = self._parts.members.base(self._office)
        data = base.path.read_bytes()
        headers = {"ETag": base.etag, "Repr-Digest": repr_digest(bytes.fromhex(base.digest))}
        asked = message.headers
        chosen = choose(
            base.etag,
            len(data),
            asked.get("if-none-match", ""),
            asked.get("range", ""),
            asked.get("if-range", ""),
        )
        headers["Content-Length"] = str(len(data))
        match chosen:
            case NotModified():
                return Answer(304, b"", headers)
            case OutOfRange():
                raise Refused(416, "range", "The range lies outside.", "Ask without Range.")
            case Whole():
                return Answer(200, data, headers)
            case Slice(start, stop):
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
                headers["Content-Length"] = str(stop - start)
                return Answer(206, data[start:stop], headers)


def _whole(message: Message, content: FeedContent) -> Answer:
    digest = repr_digest(sha256(content.data).digest())
    headers = {"ETag": f'"{content.version}"', "Repr-Digest": digest}
    has = message.headers.get("if-none-match", "")
    chosen = choose(headers["ETag"], len(content.data), has, "", "")
    if isinstance(chosen, NotModified):
        return Answer(304, b"", headers)
    return Answer(200, content.data, headers)


def check_office_keys(office: Office, name: str, feed: Feed) -> None:
    """The till `name` takes what the office signs, now and with its next key.

    Raises `Violation`.
    """
    if feed.problem is not None:
        raise Violation(f"{name}: {feed.problem.code}: {feed.problem.message}")
    with office.database.read() as connection:
        states = office_keys(connection, office.keys)
    needed = {present_of(states), states[-1].public_key}
    if not needed <= set(good_keys(feed.identity.office_keys, feed.office.now_ms())):
        raise Violation(f"{name} does not know a key that the office has or will have")


def check_known(office: Office, name: str, known: Known) -> None:
    """What the till `name` goes by is what the office has. Raises `Violation`."""
    with office.database.read() as connection:
        offers = current_offers(connection)
        spent = spent_vouchers(connection, "0", "", office.now_ms())
        members = [
            card
            for card in range(CARDS)
            if (facts := member_facts(connection, card)) is not None and facts.identifiers
        ]
    found = [card for card in range(CARDS) if known.find_member("card", card_number(card)) == card]
    if found != members:
        raise Violation(f"{name} finds members {found}, and there are {members}")
    if known.offers != offers:
        raise Violation(f"{name} prints {known.offers}, and there are {offers}")
    for refusal, lists in (
        (VoucherRefusal.ALREADY_REDEEMED, spent.redeemed),
        (VoucherRefusal.VOID, spent.void),
    ):
        for issued in lists:
            for serial in issued.serials:
                voucher = f"{issued.issuer}/{serial}"
                if known.spent.get(voucher) != refusal:
                    raise Violation(f"{name} would take voucher {voucher}: it is {refusal}")
