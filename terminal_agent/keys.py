"""Keys: what the cashier's side of the counter may ask, decoded from lines of JSON.

docs/counter.md describes each. A key is a command for the lane or for the agent; the agent's own
are `Reprint`, `Discard`, `SetClock` and `AskView`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from terminal_agent.errors import CounterError
from wire.events import CENTS_MAX, MS_MAX

KEY_BYTES_MAX = 64 * 1024

Ref = Annotated[str, Meta(max_length=64)]
Amount = Annotated[int, Meta(ge=0, le=CENTS_MAX)]
Typed = Annotated[str, Meta(min_length=1, max_length=1024)]


class _Key(Struct, frozen=True, tag_field="key", kw_only=True):
    ref: Ref | None = None


class Quantity(_Key, frozen=True, tag="quantity", kw_only=True):
    """The next product is rung up `value` times. Zero is for articles that come free."""

    value: Annotated[int, Meta(ge=0, le=1_000_000)]


class Price(_Key, frozen=True, tag="price", kw_only=True):
    """The whole line of the next product costs `cents`."""

    cents: Amount


class Number(_Key, frozen=True, tag="number", kw_only=True):
    """A number typed instead of scanned; it may be anything a scan may be."""

    text: Typed


class CardNumber(_Key, frozen=True, tag="card", kw_only=True):
    """A loyalty card's number typed by hand, `?` for a digit that cannot be read."""

    text: Typed


class Accept(_Key, frozen=True, tag="accept", kw_only=True):
    """The card is the one that is offered under the number `candidate`."""

    candidate: Annotated[int, Meta(ge=1)]


class Reject(_Key, frozen=True, tag="reject", kw_only=True):
    """The card is none of those that are offered."""


class Department(_Key, frozen=True, tag="department", kw_only=True):
    """A line without a readable code."""

    cents: Amount
    code: Annotated[str, Meta(max_length=32)] = "0"


class Void(_Key, frozen=True, tag="void", kw_only=True):
    """Takes back line `line`, counted from 1; the last one when None."""

    line: Annotated[int, Meta(ge=1)] | None = None


class Cancel(_Key, frozen=True, tag="cancel", kw_only=True):
    """Drops the whole basket."""


class Tender(_Key, frozen=True, tag="tender", kw_only=True):
    """Pays `cents`, or exactly what is due."""

    kind: Literal["cash", "card"]
    cents: Amount | None = None


class Reprint(_Key, frozen=True, tag="reprint", kw_only=True):
    """Prints the receipt that is waiting or uncertain."""


class Discard(_Key, frozen=True, tag="discard", kw_only=True):
    """Gives up the receipt that is waiting or uncertain."""


class SetClock(_Key, frozen=True, tag="clock", kw_only=True):
    """Sets the clock of a till that replays."""

    at_ms: Annotated[int, Meta(ge=0, le=MS_MAX)]


class AskView(_Key, frozen=True, tag="view", kw_only=True):
    """Asks for a view with the whole basket."""


Key = (
    Quantity
    | Price
    | Number
    | CardNumber
    | Accept
    | Reject
    | Department
    | Void
    | Cancel
    | Tender
    | Reprint
    | Discard
    | SetClock
    | AskView
)

_decode = msgspec.json.Decoder(Key).decode


def decode_key(line: bytes) -> Key:
    """The key in one line of JSON; raises `CounterError` with what is wrong."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CounterError(
            "key_not_understood",
            f"The key was not understood: {error}",
            "Send one JSON object a line, as docs/counter.md says.",
        ) from error
