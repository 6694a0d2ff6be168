"""The office's tables, on SQLite and PostgreSQL alike.

Three kinds. *Registry*: what head office enters (stores, tills, members, products, offers, users).
*Log*: what tills sent, as it came, never changed. *Projection*: what `sync_server.projector` makes
of the log; dropped and made again from position zero, it comes out the same.

Units: money in integer cents, times in integer milliseconds since 1970-01-01T00:00:00Z. Tables are
written and read with core statements (`insert(Sale)`, `select(col(Sale.till_id))`).

A *person* is whom touchpoints belong to: a member's number (0 to 2**32 - 2). Numbers from 2**32 on
are left for anonymous threads.
"""

from sync_server.tables.history import ChangeCount, DayChange, PersonChange
from sync_server.tables.log import (
    Alarm,
    Dropped,
    EventLog,
    Quarantine,
    Watermark,
)
from sync_server.tables.projection import (
    OF_CARE,
    OF_NOBODY,
    Cursor,
    DayCount,
    DeviceFault,
    Holdout,
    Person,
    Redemption,
    Sale,
    SaleDay,
    SaleLine,
    Tender,
    Touchpoint,
    Voucher,
    VoucherRefusal,
)
from sync_server.tables.registry import (
    ApiUser,
    EnrolmentCode,
    FeedPart,
    Identifier,
    Member,
    Offer,
    Office,
    OfficeKey,
    Product,
    RemovedIdentifier,
    SpentVoucher,
    Store,
    StoreGroup,
    Till,
    TillEpoch,
    TillFeed,
    TillKey,
    WebSession,
)
from sync_server.tables.table import TEXT_CHARS_MAX, Table
from sync_server.tables.touchpoints import (
    ChannelMetric,
    IdentifierForm,
    SentIdentifier,
    SentName,
    SentTouchpoint,
    SharedIdentifier,
    Thread,
)

__all__ = [
    "OF_CARE",
    "OF_NOBODY",
    "TEXT_CHARS_MAX",
    "Alarm",
    "ApiUser",
    "ChangeCount",
    "ChannelMetric",
    "Cursor",
    "DayChange",
    "DayCount",
    "DeviceFault",
    "Dropped",
    "EnrolmentCode",
    "EventLog",
    "FeedPart",
    "Holdout",
    "Identifier",
    "IdentifierForm",
    "Member",
    "Offer",
    "Office",
    "OfficeKey",
    "Person",
    "PersonChange",
    "Product",
    "Quarantine",
    "Redemption",
    "RemovedIdentifier",
    "Sale",
    "SaleDay",
    "SaleLine",
    "SentIdentifier",
    "SentName",
    "SentTouchpoint",
    "SharedIdentifier",
    "SpentVoucher",
    "Store",
    "StoreGroup",
    "Table",
    "Tender",
    "Thread",
    "Till",
    "TillEpoch",
    "TillFeed",
    "TillKey",
    "Touchpoint",
    "Voucher",
    "VoucherRefusal",
    "Watermark",
    "WebSession",
]
