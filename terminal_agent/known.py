"""What the till knows: products, members, offers, whose vouchers are good.

A frozen value. The feed makes a new one and the agent swaps it, so a look-up never sees half an
update. All of it is in memory or memory-mapped: no decision at the lane waits for I/O.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from wire.feed import Offer, Product
from wire.vouchers import Verify, VoucherRefusal


class MembersUnusable(Exception):
    """The member index cannot answer: a page of it on this disk is damaged."""


class NearMember(NamedTuple):
    """A member whose number is near one that nobody has.

    `change` is what must have gone wrong, in the matcher's word: `swapped`, `substituted`,
    `double`, `missing`, `extra`, `unreadable`, or `two` errors.
    """

    number: str
    member: int
    change: str


class NearMembers(Protocol):
    """Who may be meant by a number that is misread: likeliest first, at most `limit`."""

    def __call__(
        self, domain: str, number: str, limit: int, errors: Literal[1, 2]
    ) -> Sequence[NearMember]: ...


def _nobody(domain: str, number: str) -> int | None:
    return None


def _nobody_near(
    domain: str, number: str, limit: int, errors: Literal[1, 2]
) -> Sequence[NearMember]:
    return ()


@dataclass(frozen=True)
class Known:
    """`find_member` takes a domain and a number and answers with the member's number.

    Both `find_member` and `near_members` raise `MembersUnusable`.
    """

    token: Callable[[str, str], bytes]
    verify: Verify
    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    offers: tuple[Offer, ...] = ()
    voucher_keys: Mapping[str, tuple[bytes, ...]] = field(
        default_factory=dict[str, tuple[bytes, ...]]
    )
    spent: Mapping[str, VoucherRefusal] = field(default_factory=dict[str, VoucherRefusal])
    """Vouchers (`issuer/serial`) that were spent at other tills, and what to say of each."""
    find_member: Callable[[str, str], int | None] = _nobody
    near_members: NearMembers = _nobody_near
