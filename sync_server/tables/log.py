"""The log: what tills sent, as it came, never changed; and what of it needs somebody's eye."""

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint, true
from sqlmodel import Field

from sync_server.tables.table import TILL_ID_CHARS_MAX, Big, Table


class EventLog(Table, table=True):
    """Every event the office has taken, its bytes as they came. Appended to, never changed.

    `kind` is the body's tag, or "undecodable"; then `at_ms` is None. `chain_hash` is the chain's
    hash after this event.
    """

    __table_args__ = (UniqueConstraint("till_id", "epoch", "seq"),)

    position: int | None = Field(default=None, primary_key=True, sa_type=Big)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    at_ms: int | None = Field(default=None, sa_type=BigInteger)
    clock_offset_ms: int | None = Field(default=None, sa_type=BigInteger)
    kind: str = Field(max_length=16)
    chain_hash: bytes = Field(sa_type=LargeBinary)
    body: bytes = Field(sa_type=LargeBinary)


class Watermark(Table, table=True):
    """How far the office has a till's epoch: every event up to `seq`, chained to `head_hash`."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    head_hash: bytes = Field(sa_type=LargeBinary)
    updated_at_ms: int = Field(sa_type=BigInteger)


class Quarantine(Table, table=True):
    """An event that is in the log and could not be understood (`stage` "decode" or "project")."""

    position: int = Field(primary_key=True, foreign_key="event_log.position", sa_type=BigInteger)
    stage: str = Field(max_length=16)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    reason: str = Field(max_length=500)


class Dropped(Table, table=True):
    """An event that head office took out of quarantine for good; it stays in the log.

    A projection from zero leaves it out as well.
    """

    position: int = Field(primary_key=True, foreign_key="event_log.position", sa_type=BigInteger)
    stage: str = Field(max_length=16)
    till_id: str = Field(max_length=TILL_ID_CHARS_MAX)
    epoch: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    received_at_ms: int = Field(sa_type=BigInteger)
    reason: str = Field(max_length=500)
    dropped_at_ms: int = Field(sa_type=BigInteger)
    why: str = Field(max_length=500)


class Alarm(Table, table=True):
    """Something head office has to look at: a till whose past changed ("chain")."""

    till_id: str = Field(primary_key=True, foreign_key="till.till_id")
    epoch: int = Field(primary_key=True, sa_type=BigInteger)
    code: str = Field(primary_key=True, max_length=16)
    seq: int = Field(sa_type=BigInteger)
    """The sequence number at which it was first seen."""
    first_at_ms: int = Field(sa_type=BigInteger)
    last_at_ms: int = Field(sa_type=BigInteger)
    times: int = Field(sa_type=BigInteger)
    is_open: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """Until somebody closes it; raised again, it is open again."""
    closed_at_ms: int | None = Field(default=None, sa_type=BigInteger)
    why: str | None = Field(default=None, max_length=500)
    """What was said when it was closed."""
