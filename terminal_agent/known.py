"""What the till knows: products, members, offers, whose vouchers are good.

A frozen value. The feed makes a new one and the agent swaps it, so a look-up never sees half an
update. All of it is in memory or memory-mapped: no decision at the lane waits for I/O.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wire.feed import Offer, Product
from wire.vouchers import Verify


def _nobody(domain: str, number: str) -> int | None:
    return None


@dataclass(frozen=True)
class Known:
    """`find_member` takes a domain and a number and answers with the member's number."""

    token: Callable[[str, str], bytes]
    verify: Verify
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    offers: tuple[Offer, ...] = ()
    voucher_keys: Mapping[str, tuple[bytes, ...]] = field(
        default_factory=dict[str, tuple[bytes, ...]]
    )
    find_member: Callable[[str, str], int | None] = _nobody
