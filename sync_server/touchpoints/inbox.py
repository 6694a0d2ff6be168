"""Keeps what other systems send: the same name and content twice counts once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, text, tuple_
from sqlmodel import col

from sync_server.database import upsert
from sync_server.journeys.touchpoint import KINDS
from sync_server.tables import ChannelMetric, SentIdentifier, SentName, SentTouchpoint
from sync_server.touchpoints.incoming import Metric, Sent

KEYS_A_SELECT = 500
INBOX_LOCK = 0x4B520010
"""PostgreSQL advisory lock: who keeps touchpoints is alone, so numbers appear in their order."""
NAMES_MAX = 500
"""Kinds, and channels: who takes an id for a kind must not spoil everybody's figures."""
OTHER_CONTENT = "was sent before under this source and id, with other content"

Key = tuple[str, str]


class Kept(NamedTuple):
    """What became of each item, by its place among those given."""

    new: int
    repeated: int
    """Sent before with the same content: nothing to do."""
    refused: dict[int, str]


def keep(
    connection: Connection, items: Sequence[Sent | Metric], now_ms: int, *, is_dry: bool = False
) -> Kept:
    """Keeps `items`; with `is_dry` only tells what would become of them."""
    touchpoints = [(n, item) for n, item in enumerate(items) if isinstance(item, Sent)]
    metrics = [item for item in items if isinstance(item, Metric)]
    _hold(connection)
    kept = _keep_touchpoints(connection, touchpoints, now_ms, is_dry=is_dry)
    changed = _keep_metrics(connection, metrics, now_ms, is_dry=is_dry)
    return kept._replace(new=kept.new + changed, repeated=kept.repeated + len(metrics) - changed)


def _hold(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": INBOX_LOCK})


def _keep_touchpoints(
    connection: Connection,
    touchpoints: Sequence[tuple[int, Sent]],
    now_ms: int,
    *,
    is_dry: bool,
) -> Kept:
    names = _Names(connection)
    hashes = _known(connection, {(sent.source, sent.source_id) for _, sent in touchpoints})
    fresh: list[tuple[Sent, bytes]] = []
    repeated = 0
    refused: dict[int, str] = {}
    for place, sent in touchpoints:
        key, content = (sent.source, sent.source_id), sent.content_hash()
        known = hashes.get(key)
        if known is None:
            strange = names.refuse(sent)
            if strange is not None:
                refused[place] = strange
                continue
            hashes[key] = content
            fresh.append((sent, content))
        elif known == content:
            repeated += 1
        else:
            refused[place] = OTHER_CONTENT
    if fresh and not is_dry:
        _insert(connection, fresh, now_ms)
        upsert(connection, SentName, names.new)
    return Kept(len(fresh), repeated, refused)


class _Names:
    """The kinds and channels there are, and those that are new."""

    def __init__(self, connection: Connection) -> None:
        found = connection.execute(select(col(SentName.field), col(SentName.name)))
        self._names: dict[str, set[str]] = {"kind": set(KINDS), "channel": set()}
        self.new: list[dict[str, str]] = []
        for field, name in found:
            self._names[field].add(name)

    def refuse(self, sent: Sent) -> str | None:
        """Why a touchpoint has a name too many; None when its names are taken up."""
        given = {"kind": sent.kind, "channel": sent.channel}
        new = {field: name for field, name in given.items() if name not in self._names[field]}
        for field in new:
            if len(self._names[field]) >= NAMES_MAX:
                return f"there are {NAMES_MAX} {field}s already: is {field} what it should be?"
        for field, name in new.items():
            self._names[field].add(name)
            self.new.append({"field": field, "name": name})
        return None


def _known(connection: Connection, keys: set[Key]) -> dict[Key, bytes]:
    t = SentTouchpoint
    hashes: dict[Key, bytes] = {}
    # By source: pairs of columns cost several times as much to ask for.
    names: dict[str, list[str]] = defaultdict(list)
    for source, name in sorted(keys):
        names[source].append(name)
    for source, of_source in names.items():
        for chunk in chunks(of_source):
            found = connection.execute(
                select(col(t.source_id), col(t.content_hash)).where(
                    col(t.source) == source, col(t.source_id).in_(chunk)
                )
            )
            hashes.update({(source, name): content for name, content in found})
    return hashes


def _insert(connection: Connection, fresh: Sequence[tuple[Sent, bytes]], now_ms: int) -> None:
    top = connection.execute(select(func.max(col(SentTouchpoint.number)))).scalar_one() or 0
    rows: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    for number, (sent, content) in enumerate(fresh, top + 1):
        row = sent._asdict()
        carried = row.pop("identifiers")
        links += [{"number": number, **one._asdict()} for one in carried]
        rows.append(
            {**row, "number": number, "content_hash": content, "received_at_ms": now_ms}
            | {"person": None, "linked_by": None, "is_conflicting": False, "referrer": None}
        )
    connection.execute(insert(SentTouchpoint), rows)
    if links:
        connection.execute(insert(SentIdentifier), links)


def _keep_metrics(
    connection: Connection, metrics: Sequence[Metric], now_ms: int, *, is_dry: bool
) -> int:
    """A day's total is corrected for days after it: what comes last counts."""
    last = {metric[:6]: metric for metric in metrics}
    m = ChannelMetric
    columns = [getattr(m, name) for name in Metric._fields]
    changed: list[Metric] = []
    for chunk in chunks(sorted(last)):
        found = connection.execute(
            select(*(col(column) for column in columns)).where(
                tuple_(*(col(column) for column in columns[:6])).in_(chunk)
            )
        )
        known = {tuple(row) for row in found}
        changed += [last[key] for key in chunk if tuple(last[key]) not in known]
    if not is_dry:
        rows = [{**metric._asdict(), "received_at_ms": now_ms} for metric in changed]
        upsert(connection, m, rows, update=("value_thousandths", "cost_cents", "received_at_ms"))
    return len(changed)


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`values` in lots that fit into one statement."""
    for start in range(0, len(values), KEYS_A_SELECT):
        yield values[start : start + KEYS_A_SELECT]
