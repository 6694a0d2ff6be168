"""The tables of the till's journal. Statements are written on `Model.__table__`, never the ORM."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

SCHEMA_VERSION = 1


class JournalEpoch(SQLModel, table=True):
    """One unbroken run of sequence numbers. A new file, or a file put back, opens a new one."""

    __tablename__ = "epoch"  # pyright: ignore[reportAssignmentType]

    epoch: int = Field(primary_key=True)
    till_id: str
    opened_at_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    acknowledged_seq: int = Field(sa_column=Column(BigInteger, nullable=False))


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
