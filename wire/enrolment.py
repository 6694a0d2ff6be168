"""Enrolment: a one-time code against a till's identity.

The till makes its own key pair; only the public half travels. JSON, `bytes` as base64.
"""

from typing import Annotated

from msgspec import Meta, Struct

from wire.batches import Epoch, TillId
from wire.events import Ms


class EnrolmentRequest(Struct, frozen=True):
    """`code` is what `klantreis-office till add` printed; it works once and for minutes."""

    code: Annotated[str, Meta(min_length=8, max_length=64)]
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Enrolment(Struct, frozen=True):
    """What makes a machine this till. `epoch` is higher than any the till had before."""

    till_id: TillId
    store_id: str
    store_name: str
    epoch: Epoch
    identifier_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    office_public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    office_time_ms: Ms
