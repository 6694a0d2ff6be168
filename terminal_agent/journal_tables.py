"""The tables of the till's journal, and every statement on them.

Statements are written on `Model.__table__`, never through the ORM, and compiled once: what runs at
the lane is a text and its values, handed to the driver.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ClauseElement,
    Column,
    Index,
    LargeBinary,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.ddl import DDLElement
from sqlmodel import Field, SQLModel

SCHEMA_VERSION = 2
"""2 has `withheld_event`; 1 is brought forward when it is opened."""

LOST = "lost"
"""Kind of a row that holds the place of an event the disk lost: no body, no hash."""
UNSOUND = "unsound"
"""Kind of a row whose body does not fit the chain: evidence, sent as such."""
NO_EVENTS = (LOST, UNSOUND)


class JournalEpoch(SQLModel, table=True):
    """One unbroken run of sequence numbers. A new file, or a file put back, opens a new one."""

    __tablename__ = "epoch"  # pyright: ignore[reportAssignmentType]

    epoch: int = Field(primary_key=True)
    till_id: str
    opened_at_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    acknowledged_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    acknowledged_at_ms: int | None = Field(default=None, sa_column=Column(BigInteger))
    """When the office last acknowledged, by the office's clock."""


class JournalEvent(SQLModel, table=True):
    """One event, as it was encoded, with the chain's hash after it."""

    __tablename__ = "event"  # pyright: ignore[reportAssignmentType]

    epoch: int = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    at_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    kind: str
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class PrintJob(SQLModel, table=True):
    """One receipt on its way to paper; it is put here in its sale's transaction."""

    __tablename__ = "print_job"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("print_job_state", "state"),)

    epoch: int = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    state: str
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    serials: str
    """The vouchers on it, as a JSON list."""


class RedeemedVoucher(SQLModel, table=True):
    """A voucher this till has taken; it is not taken again, with or without the office."""

    __tablename__ = "redeemed_voucher"  # pyright: ignore[reportAssignmentType]

    voucher_id: str = Field(primary_key=True)
    expires_at_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class WithheldEvent(SQLModel, table=True):
    """An event that is refused whatever it comes in: the office has its place, the till its bytes.

    Stays when the event itself is trimmed, until the office has taken it. Then `reason` is empty,
    and it stays as long as the event: an office that is put back to an older state has its place
    again and not its bytes, and nothing else tells of it.
    """

    __tablename__ = "withheld_event"  # pyright: ignore[reportAssignmentType]

    epoch: int = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    before: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """The chain's hash before it."""
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str


def _table(model: type[SQLModel]) -> Table:
    return model.__table__  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]


_DIALECT = sqlite_dialect(paramstyle="named")


def _text(statement: Executable | DDLElement) -> str:
    # Parameters keep their names: values are handed over as a mapping. Those that have a value
    # already are written out.
    compiled = cast("ClauseElement", statement).compile(dialect=_DIALECT)
    text = str(compiled)
    given: Mapping[str, Any] = compiled.params or {}
    for name in sorted(given, key=len, reverse=True):
        value: int | str | None = given[name]
        if value is not None:
            text = text.replace(f":{name}", repr(value))
    return text


_EPOCH, _EVENT = _table(JournalEpoch), _table(JournalEvent)
_JOB, _REDEEMED = _table(PrintJob), _table(RedeemedVoucher)
_WITHHELD = _table(WithheldEvent)
_TABLES = (_EPOCH, _EVENT, _JOB, _REDEEMED, _WITHHELD)
_e, _v, _j = _EPOCH.c, _EVENT.c, _JOB.c
_epoch_is: BindParameter[int] = bindparam("of_epoch")
_seq_is: BindParameter[int] = bindparam("of_seq")

CREATE: Final = (
    *(_text(CreateTable(table)) for table in _TABLES),
    *(_text(CreateIndex(index)) for table in _TABLES for index in table.indexes),
)

BRING_FORWARD: Final = {1: (_text(CreateTable(_WITHHELD)),)}
"""By schema version: what makes it the next one."""

INSERT_WITHHELD: Final = _text(insert(_WITHHELD).prefix_with("OR REPLACE"))
WITHHELD: Final = _text(
    select(
        _WITHHELD.c.epoch, _WITHHELD.c.seq, _WITHHELD.c.before, _WITHHELD.c.body, _WITHHELD.c.reason
    ).order_by(_WITHHELD.c.epoch, _WITHHELD.c.seq)
)
DELIVERED: Final = _text(
    update(_WITHHELD)
    .where(_WITHHELD.c.epoch == _epoch_is, _WITHHELD.c.seq == _seq_is)
    .values(reason="")
)
REMOVE_WITHHELD: Final = _text(
    delete(_WITHHELD).where(_WITHHELD.c.epoch == _epoch_is, _WITHHELD.c.seq == _seq_is)
)
TRIM_DELIVERED: Final = _text(
    delete(_WITHHELD).where(
        _WITHHELD.c.epoch == _epoch_is, _WITHHELD.c.seq <= _seq_is, _WITHHELD.c.reason == ""
    )
)
INSERT_EPOCH: Final = _text(insert(_EPOCH))
INSERT_EVENT: Final = _text(insert(_EVENT))
INSERT_JOB: Final = _text(insert(_JOB))
INSERT_REDEEMED: Final = _text(insert(_REDEEMED))

EPOCHS: Final = _text(
    select(_e.epoch, _e.till_id, _e.opened_at_ms, _e.acknowledged_seq, _e.acknowledged_at_ms)
    .select_from(_EPOCH)
    .order_by(_e.epoch)
)
"""epoch, till_id, opened_at_ms, acknowledged_seq, acknowledged_at_ms."""
SEQS: Final = _text(
    select(func.min(_v.seq), func.max(_v.seq), func.count()).where(_v.epoch == _epoch_is)
)
"""Of `of_epoch`: first number, last number, how many events."""
HASH_AT: Final = _text(select(_v.hash).where(_v.epoch == _epoch_is, _v.seq == _seq_is))
BEFORE: Final = _text(select(_v.kind, _v.hash).where(_v.epoch == _epoch_is, _v.seq == _seq_is))
BY_ROW: Final = (
    "SELECT rowid, epoch, seq, at_ms, kind, body, hash FROM event NOT INDEXED "
    "WHERE rowid >= :of_seq ORDER BY rowid LIMIT :events_max"
)
"""Past a damaged index: rowid, then epoch and what `EVENTS_FROM` gives, by place in the table."""
EVENTS_FROM: Final = _text(
    select(_v.seq, _v.at_ms, _v.kind, _v.body, _v.hash)
    .where(_v.epoch == _epoch_is, _v.seq >= _seq_is)
    .order_by(_v.seq)
    .limit(bindparam("events_max"))
)
"""seq, at_ms, kind, body, hash, from `of_seq` on."""
TIMES: Final = _text(
    select(_v.seq, _v.at_ms)
    .where(_v.epoch == _epoch_is)
    .order_by(_v.seq)
    .limit(bindparam("events_max"))
)
TIMES_SEEN: Final = _text(select(func.min(_v.at_ms), func.max(_v.at_ms)))
LAST_SALE: Final = _text(
    select(_v.epoch, _v.seq, _v.body)
    .where(_v.kind == "sale")
    .order_by(_v.epoch.desc(), _v.seq.desc())
    .limit(1)
)
TRIM_EVENTS: Final = _text(delete(_EVENT).where(_v.epoch == _epoch_is, _v.seq <= _seq_is))
REMOVE_FROM: Final = _text(delete(_EVENT).where(_v.epoch == _epoch_is, _v.seq >= _seq_is))
REMOVE_WITHHELD_FROM: Final = _text(
    delete(_WITHHELD).where(_WITHHELD.c.epoch == _epoch_is, _WITHHELD.c.seq >= _seq_is)
)
TRIM_JOBS: Final = _text(
    delete(_JOB).where(
        _j.epoch == _epoch_is,
        _j.seq <= _seq_is,
        or_(_j.state == "printed", _j.state == "discarded"),
    )
)
ACKNOWLEDGE: Final = _text(
    update(_EPOCH)
    .where(_e.epoch == _epoch_is)
    .values(acknowledged_seq=bindparam("upto"), acknowledged_at_ms=bindparam("told_at_ms"))
)
JOB_IN: Final = _text(
    select(_j.epoch, _j.seq, _j.data, _j.serials)
    .where(_j.state == bindparam("of_state"))
    .order_by(_j.epoch, _j.seq)
    .limit(bindparam("jobs_max"))
)
_move = update(_JOB).where(_j.epoch == _epoch_is, _j.seq == _seq_is, _j.state == bindparam("was"))
MOVE_JOB: Final = _text(_move.values(state=bindparam("now")))
CHANGE_JOB: Final = _text(_move.values(state=bindparam("now"), data=bindparam("paper")))
JOB_COUNTS: Final = _text(select(_j.state, func.count()).group_by(_j.state))
JOBS: Final = _text(
    select(_j.epoch, _j.seq, _j.state, _j.data, _j.serials).order_by(_j.epoch, _j.seq)
)
TRIM_REDEEMED: Final = _text(
    delete(_REDEEMED).where(_REDEEMED.c.expires_at_ms < bindparam("before_ms"))
)
REDEEMED: Final = _text(select(_REDEEMED.c.voucher_id, _REDEEMED.c.expires_at_ms))

STRAY_EVENTS: Final = _text(
    select(_v.epoch, func.min(_v.seq))
    .where(_v.epoch.not_in(select(_e.epoch).select_from(_EPOCH)))
    .group_by(_v.epoch)
)
_oldest = select(func.min(_v.seq)).where(_v.epoch == _j.epoch).scalar_subquery()
_newest = select(func.max(_v.seq)).where(_v.epoch == _j.epoch).scalar_subquery()
STRAY_JOBS: Final = _text(
    select(_j.epoch, _j.seq).where(
        _j.seq.between(_oldest, _newest),
        ~exists().where(
            _v.epoch == _j.epoch,
            _v.seq == _j.seq,
            or_(_v.kind == "sale", _v.kind == LOST, _v.kind == UNSOUND),
        ),
    )
)
"""Receipts whose sale is not there, although it was neither trimmed nor moved."""


def values_of(table: str, row: Sequence[object]) -> dict[str, object]:
    """A row of `table`, in the order of its columns, as an insert takes it."""
    return dict(zip(_COLUMNS[table], row, strict=True))


_COLUMNS = {table.name: tuple(table.c.keys()) for table in _TABLES}
