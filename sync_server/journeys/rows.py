"""Touchpoints as columns of numbers, the way the fold takes them. Pure.

A row is a touchpoint; rows are sorted by person and time (`touchpoint.order`). Names are codes: the
place of a name in its list. Store 0 is no store.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from msgspec import Struct, field

from native.fold import NO_VALUE, Rows
from sync_server.journeys.touchpoint import Touchpoint, links, moment

NAMES_MAX = 65_535
"""Of one vocabulary: codes have 16 bits."""
MANY_NAMES_MAX = 2**31 - 1
"""Where codes have 32 bits."""
VALUE_MAX = 2**31 - 1
NO_STORE: tuple[str | None, ...] = (None,)
NO_NAME = NO_STORE


class Names:
    """Names and their codes, in the order in which they were first seen; only ever added to."""

    def __init__(self, names: Iterable[str | None] = (), most: int = NAMES_MAX) -> None:
        self.names: list[str | None] = list(names)
        self.most = most
        self._code = {name: code for code, name in enumerate(self.names)}

    def code(self, name: str | None) -> int:
        """The code of a name, which is added when it is new. Raises `OverflowError`."""
        code = self._code.get(name)
        if code is None:
            code = len(self.names)
            if code >= self.most:
                raise OverflowError(f"more than {self.most} names")
            self.names.append(name)
            self._code[name] = code
        return code

    def known(self, name: str | None) -> int | None:
        """The code of a name; None for one that is in no row."""
        return self._code.get(name)

    def __len__(self) -> int:
        return len(self.names)


class Vocabulary(Struct):
    """The names behind the codes of some columns."""

    kinds: Names = field(default_factory=Names)
    channels: Names = field(default_factory=Names)
    stores: Names = field(default_factory=lambda: Names(NO_STORE))
    campaigns: Names = field(default_factory=lambda: Names(NO_NAME, MANY_NAMES_MAX))
    """These three the fold does not read; code 0 is none."""
    tills: Names = field(default_factory=lambda: Names(NO_NAME, MANY_NAMES_MAX))
    hows: Names = field(default_factory=lambda: Names(NO_NAME, MANY_NAMES_MAX))
    """How sales were linked."""

    def copy(self) -> "Vocabulary":
        """The names as they are now."""
        return Vocabulary(*(Names(names.names, names.most) for names in self.each()))

    def each(self) -> tuple[Names, ...]:
        """All of its lists of names, in the order of its fields."""
        return tuple(getattr(self, name) for name in self.__struct_fields__)


class Column(NamedTuple):
    """A column of the fold: its name, and its type as `array` names it."""

    name: str
    code: str


COLUMNS = (
    Column("person", "q"),
    Column("at_ms", "q"),
    Column("day", "i"),
    Column("kind", "H"),
    Column("channel", "H"),
    Column("store", "H"),
    Column("joins", "B"),
    Column("belongs", "i"),
    Column("caused", "i"),
    Column("amount_cents", "q"),
    Column("value", "i"),
)
"""What the fold reads, in the order of `native.fold.Rows`.

`at_ms` is milliseconds since 1970-01-01T00:00:00Z, `day` the store's day number; `joins` is 1 for
a touchpoint of the same event as the row before; `belongs` and `caused` are how many rows before
it the purchase is that it refers to, and that led to it (0: none known).
"""

Buffers: TypeAlias = "dict[str, array[int]]"


def empty_buffers() -> Buffers:
    """A buffer without rows for each column."""
    return {name: array(code) for name, code in COLUMNS}


def add_touchpoints(
    buffers: Buffers, vocabulary: Vocabulary, touchpoints: Iterable[Touchpoint]
) -> None:
    """Appends whole persons' touchpoints, which are in order."""
    for _, of_person in groupby(touchpoints, attrgetter("person")):
        _add_person(buffers, vocabulary, list(of_person))


def rows_of(buffers: Buffers) -> Rows:
    """The columns as the fold takes them; they must not grow while it has them."""
    return Rows(*(buffers[name] for name, _ in COLUMNS))


def _add_person(
    buffers: Buffers, vocabulary: Vocabulary, touchpoints: Sequence[Touchpoint]
) -> None:
    before = None
    for touchpoint, link in zip(touchpoints, links(touchpoints), strict=True):
        event = moment(touchpoint)
        value = touchpoint.value
        row = (
            touchpoint.person,
            touchpoint.occurred_at_ms,
            touchpoint.day,
            vocabulary.kinds.code(touchpoint.kind),
            vocabulary.channels.code(touchpoint.channel),
            vocabulary.stores.code(touchpoint.store),
            event == before,
            link.belongs,
            link.caused,
            touchpoint.amount_cents or 0,
            NO_VALUE if value is None else min(max(value, -VALUE_MAX), VALUE_MAX),
        )
        before = event
        for (name, _), cell in zip(COLUMNS, row, strict=True):
            buffers[name].append(cell)
