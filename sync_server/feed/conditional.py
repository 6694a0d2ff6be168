"""Conditional and range requests for one file (RFC 9110, sections 13 and 14). No I/O."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class NotModified(NamedTuple):
    """The client has this version."""


class Whole(NamedTuple):
    """The client gets all of it."""


class Slice(NamedTuple):
    """The client gets bytes `start` to `stop` (exclusive)."""

    start: int
    stop: int


class OutOfRange(NamedTuple):
    """The range begins after the end."""


def choose(
    etag: str, size: int, if_none_match: str, range_header: str, if_range: str
) -> NotModified | Whole | Slice | OutOfRange:
    """What of a file of `size` bytes and version `etag` the client gets.

    Headers are empty when not sent. More than one range, or another unit, gives the whole file, as
    the RFC allows.
    """
    if etag in _tags(if_none_match) or if_none_match.strip() == "*":
        return NotModified()
    found = _RANGE.fullmatch(range_header.strip())
    if not found or (if_range and if_range.strip() != etag):
        return Whole()
    first, last = found.groups()
    if not first and not last:
        return Whole()
    if not first:
        return Slice(max(0, size - int(last)), size) if int(last) and size else OutOfRange()
    start = int(first)
    stop = min(size, int(last) + 1) if last else size
    if start >= size:
        return OutOfRange()
    return Slice(start, stop) if start < stop else Whole()


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
