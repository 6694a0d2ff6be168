"""What most tests of the till need: a shop's knowledge, a lane, a journal."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal_agent.devices.scanner import Scan
from terminal_agent.identify import CardRule, IdentifyRules
from terminal_agent.identity import verify
from terminal_agent.journal import Journal
from terminal_agent.known import Known
from terminal_agent.lane import Lane
from terminal_agent.now import Now
from wire.feed import Offer, Product
from wire.identifiers import identifier_token
from wire.vouchers import Voucher, encode_voucher

IDENTIFIER_KEY = bytes(range(32))
ISSUER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MILK = "4006381333931"
BREAD = "6291041500213"
UNPRICED = "5901234123457"
MEMBERS = {("card", "2900000012288"): 1228}
RULES = IdentifyRules(
    cards=(CardRule(name="loyalty", prefixes=("29",), lengths=(13,), check="gs1"),)
)


@pytest.fixture
def known() -> Known:
    return Known(
        token=lambda domain, number: identifier_token(IDENTIFIER_KEY, domain, number),
        verify=verify,
        products={
            MILK: Product(MILK, "Milk", 250),
            BREAD: Product(BREAD, "Bread", 199),
            UNPRICED: Product(UNPRICED, "Loose apples"),
        },
        offers=(Offer("next-visit", "1.00 off your next visit", 100, 30, 200),),
        voucher_keys={"office": (ISSUER.public_key().public_bytes_raw(),)},
        find_member=lambda domain, number: MEMBERS.get((domain, number)),
    )


@pytest.fixture
def rules() -> IdentifyRules:
    return RULES


@pytest.fixture
def lane(rules: IdentifyRules) -> Lane:
    return Lane(rules, set())


@pytest.fixture
def at() -> Callable[[float], Now]:
    """The time, so many seconds after noon."""
    return lambda s: Now(1_494_763_200_000 + int(s * 1000), 1_000.0 + s)


@pytest.fixture
def scan(at: Callable[[float], Now]) -> Callable[..., Scan]:
    return lambda text, s=0.0, aim=None: Scan(text, aim, at(s).mono_s)


@pytest.fixture
def mint() -> Callable[..., str]:
    """A voucher's token, of the office unless said otherwise."""

    def make(
        serial: str = "v-1",
        value_cents: int = 100,
        expires_at_ms: int = 1_500_000_000_000,
        member: int | None = None,
        issuer: str = "office",
    ) -> str:
        voucher = Voucher(issuer, serial, "spring", value_cents, expires_at_ms, member)
        return encode_voucher(voucher, ISSUER.sign)

    return make


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.db", "till-1", 1, 0)
    yield opened
    opened.close()
