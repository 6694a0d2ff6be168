"""The serial of a voucher: its sale's place, and a part that no other machine draws. Pure.

Two machines with one till's past (a copied disk) give out the same places until the office has
heard both; the drawn part keeps their vouchers apart all the same. It is drawn for each voucher:
whatever was copied, and when, does not matter.
"""

from base64 import b32encode

DRAWN_BYTES = 5
"""40 bits: of two vouchers with one place, one pair in 10**12 has one serial."""


def voucher_serial(epoch: int, seq: int, drawn: bytes) -> str:
    """The serial of a voucher of sale `seq` in `epoch`. `drawn` are `DRAWN_BYTES` random bytes."""
    if len(drawn) != DRAWN_BYTES:
        raise ValueError(f"{DRAWN_BYTES} bytes are drawn for a serial, not {len(drawn)}")
    return f"{epoch}-{seq}-{b32encode(drawn).decode()}"
