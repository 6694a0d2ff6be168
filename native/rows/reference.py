"""What `native.rows.encode` does, in plain Python.

The format is that of PostgreSQL's documentation of COPY, "Binary Format"; integers and lengths are
big-endian.
"""

import struct
from collections.abc import Iterable
from typing import Any

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)


def encode(rows: Iterable[tuple[Any, ...]], kinds: str) -> bytes:
    """The bytes of a binary COPY of `rows`, whose columns are of `kinds`.

    A letter each: `q` bigint, `i` integer, `t` text, `b` bytea, `?` boolean. None is NULL. Raises
    `TypeError` for another value than the kind's, `OverflowError` for a number beyond it,
    `ValueError` for a row of another length and for text that is no UTF-8.
    """
    out = [HEADER]
    for row in rows:
        if len(row) != len(kinds):
            raise ValueError(f"a row of {len(row)} values for {len(kinds)} columns")
        out.append(struct.pack(">h", len(row)))
        out += [
            NULL if value is None else _field(value, kind)
            for value, kind in zip(row, kinds, strict=True)
        ]
    return b"".join([*out, TRAILER])


def _field(value: Any, kind: str) -> bytes:
    if kind == "t" and isinstance(value, str):
        data = value.encode()
    elif kind == "b" and isinstance(value, bytes):
        data = value
    elif kind == "?" and isinstance(value, bool):
        data = bytes([value])
    elif kind in "qi" and isinstance(value, int) and not isinstance(value, bool):
        data = value.to_bytes(8 if kind == "q" else 4, "big", signed=True)
    else:
        raise TypeError(f"{type(value).__name__} in a column of kind {kind!r}")
    return struct.pack(">i", len(data)) + data
