"""Two journals with one past: the events of one of them move to an epoch of their own.

When a till's disk is copied, or put back to an earlier state, the same numbers are given twice. The
office keeps what came first. The other till's events are as good: they are sold and paid for. They
are given new numbers, in a new epoch whose first event says where they were.
"""

from importlib.metadata import version
from sqlite3 import Connection

import msgspec

from terminal_agent import journal_tables as sql
from terminal_agent.journal_book import Place
from wire.chain import genesis, next_hash
from wire.events import SEQ_MAX, Event, TillStarted, encode_event


def move_events(connection: Connection, place: Place, opened: int) -> None:
    """Moves the events from `place` on to the new epoch `opened`, in the caller's transaction."""
    till_id, epoch, from_seq = place
    values = {"of_epoch": epoch, "of_seq": from_seq, "events_max": SEQ_MAX}
    found = connection.execute(sql.EVENTS_FROM, values).fetchall()
    # What is lost has no place to be given; what is unsound is in the file that was kept.
    rows = [row for row in found if row[2] not in sql.NO_EVENTS]
    at_ms: int = found[0][1]
    gone = {"of_epoch": epoch, "of_seq": from_seq}
    connection.execute(sql.REMOVE_FROM, gone)
    # The office never had that place of ours; the event is withheld again where it goes now.
    connection.execute(sql.REMOVE_WITHHELD_FROM, gone)
    new_epoch = (opened, till_id, at_ms, 0, None)
    connection.execute(sql.INSERT_EPOCH, sql.values_of("epoch", new_epoch))
    why = f"another past: epoch {epoch} from {from_seq} on, here from 2 on"
    first = encode_event(Event(1, at_ms, TillStarted(version("klantreis"), why)))
    running = next_hash(genesis(till_id, opened), first)
    event = (opened, 1, at_ms, "started", first, running)
    connection.execute(sql.INSERT_EVENT, sql.values_of("event", event))
    for seq, (_, moved_at_ms, kind, body, _) in enumerate(rows, 2):
        renumbered = _renumbered(body, seq)
        running = next_hash(running, renumbered)
        event = (opened, seq, moved_at_ms, kind, renumbered, running)
        connection.execute(sql.INSERT_EVENT, sql.values_of("event", event))


def _renumbered(event: bytes, seq: int) -> bytes:
    # All but the number stays as it was encoded, also what another version put there.
    _, *rest = msgspec.msgpack.decode(event, type=list[msgspec.Raw])
    return msgspec.msgpack.encode([seq, *rest])
