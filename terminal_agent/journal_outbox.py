"""What of the journal the office has not: the events to send, and how far it has acknowledged."""

from dataclasses import dataclass
from sqlite3 import Connection

from terminal_agent import journal_tables as sql
from terminal_agent.journal_book import Book, Place, Span
from terminal_agent.journal_file import damaged
from terminal_agent.journal_parting import move_events
from terminal_agent.journal_recovery import note_epoch, noted_epoch
from wire.aside import LOST_EVENTS_MAX, Aside
from wire.chain import next_hash
from wire.events import EVENT_BYTES_MAX


@dataclass(frozen=True)
class Unsent:
    """Consecutive events that the office has not acknowledged; `previous` is the hash before.

    `aside` stands instead of `events` where some are lost: those go by themselves.
    """

    epoch: int
    first_seq: int
    previous: bytes
    events: tuple[bytes, ...]
    aside: Aside | None = None


OFFERED_AGAIN = "its bytes came later than its place"


class Outbox(Book):
    """A book that knows of each epoch how far the office has it."""

    _delivered: set[tuple[int, int]]
    """Epoch and number of what was withheld and has been delivered since the start."""

    def unsent(
        self, events_max: int, bytes_max: int, passing_over: frozenset[int] = frozenset()
    ) -> Unsent | None:
        """The oldest events the office has not acknowledged, at least one; None when all are.

        Epochs in `passing_over` are left out. What is handed over fits the chain: a file that
        holds other bytes than were written is `JournalDamaged`.
        """
        with self._reading() as connection:
            for epoch, span in sorted(self._spans.items()):
                if epoch not in passing_over and span.newest > span.acknowledged:
                    first = span.acknowledged + 1
                    return self._unsent_from(connection, epoch, first, events_max, bytes_max)
        return None

    def _unsent_from(
        self, connection: Connection, epoch: int, first: int, events_max: int, bytes_max: int
    ) -> Unsent | None:
        values = {"of_epoch": epoch, "of_seq": first, "events_max": events_max}
        rows = connection.execute(sql.EVENTS_FROM, values).fetchall()
        previous = self._hash_before(connection, epoch, first)
        if rows and (not previous or rows[0][2] in sql.NO_EVENTS):
            return self._aside_from(connection, epoch, first, previous)
        running = previous
        events: list[bytes] = []
        size = 0
        for place, (seq, _, kind, body, after) in enumerate(rows, first):
            size += len(body)
            if kind in sql.NO_EVENTS or (events and size > bytes_max):
                break
            running = next_hash(running, body)
            if (seq, after) != (place, running):
                raise damaged(self.file, f"event {place} of epoch {epoch} breaks the chain")
            events.append(body)
        return Unsent(epoch, first, previous, tuple(events)) if events else None

    def _hash_before(self, connection: Connection, epoch: int, first: int) -> bytes:
        """Empty after a lost event, where nobody knows it."""
        values = {"of_epoch": epoch, "of_seq": first - 1}
        row = connection.execute(sql.BEFORE, values).fetchone()
        if row is not None and row[0] == sql.LOST:
            return b""
        return self._hash_at(connection, epoch, first - 1)

    def _aside_from(
        self, connection: Connection, epoch: int, first: int, previous: bytes
    ) -> Unsent | None:
        values = {"of_epoch": epoch, "of_seq": first, "events_max": LOST_EVENTS_MAX}
        for seq, _, kind, body, after in connection.execute(sql.EVENTS_FROM, values):
            if kind != sql.LOST:
                is_sound = kind != sql.UNSOUND
                reason = "its journal was damaged; the file is kept there"
                data = body if len(body) <= EVENT_BYTES_MAX else None
                aside = Aside(
                    self.till_id, epoch, first, seq, previous, after, data, is_sound, reason
                )
                return Unsent(epoch, first, previous, (), aside)
        return None

    def withhold(self, unsent: Unsent, reason: str) -> None:
        """Keeps the first event of `unsent` for as long as the office does not take its bytes."""
        values = (unsent.epoch, unsent.first_seq, unsent.previous, unsent.events[0], reason)
        with self._database.write_lock, self._journalled() as connection:
            connection.execute(sql.INSERT_WITHHELD, sql.values_of("withheld_event", values))
        self._delivered.discard((unsent.epoch, unsent.first_seq))

    def withheld(self) -> list[Aside]:
        """The events that the office has the places of, and not the bytes.

        After a start, or when the office was put back, also those whose bytes it had: it may have
        lost them since.
        """
        with self._reading() as connection:
            found = connection.execute(sql.WITHHELD).fetchall()
        return [
            Aside(
                *(self.till_id, epoch, seq, seq, before, next_hash(before, body), body, True),
                why or OFFERED_AGAIN,
            )
            for epoch, seq, before, body, why in found
            if (epoch, seq) not in self._delivered
        ]

    def delivered(self, aside: Aside) -> None:
        """The office has the bytes of an event that was withheld."""
        with self._database.write_lock, self._journalled(synced=False) as connection:
            place = {"of_epoch": aside.epoch, "of_seq": aside.seq}
            # Kept for as long as the event, which is gone already if it was trimmed.
            span = self._spans.get(aside.epoch)
            is_kept = span is not None and aside.seq >= span.oldest
            connection.execute(sql.DELIVERED if is_kept else sql.REMOVE_WITHHELD, place)
        self._delivered.add((aside.epoch, aside.seq))

    def unsent_count(self) -> int:
        """How many events the office has not acknowledged. Asks no disk."""
        # A copy: another thread may open an epoch meanwhile.
        return sum(span.newest - span.acknowledged for span in tuple(self._spans.values()))

    def acknowledge(self, epoch: int, watermark: int, office_time_ms: int | None = None) -> None:
        """The office has everything of `epoch` up to `watermark`. Never moves back.

        Reaches the disk with the next sale: what is lost of it is only sent again.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            # Never past what this journal holds: an office that has more has another past.
            if span is None or (upto := min(watermark, span.newest)) <= span.acknowledged:
                return
            self._put_watermark(epoch, span, upto, office_time_ms)

    def rewind(self, epoch: int, watermark: int) -> bool:
        """The office wants to begin again after `watermark`: it was put back to an older state.

        False when this journal is the one that is behind, or no longer has what is asked for;
        then nothing changes.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            if span is None or span.acknowledged <= watermark:
                return False
            if watermark < span.oldest and (watermark, span.oldest) != (0, 1):
                return False
            self._put_watermark(epoch, span, watermark, span.acknowledged_at_ms)
            self._delivered.clear()
        return True

    def _put_watermark(self, epoch: int, span: Span, upto: int, told_at_ms: int | None) -> None:
        with self._journalled(synced=False) as connection:
            values = {"of_epoch": epoch, "upto": upto, "told_at_ms": told_at_ms}
            connection.execute(sql.ACKNOWLEDGE, values)
        span.acknowledged, span.acknowledged_at_ms = upto, told_at_ms

    def part(self, epoch: int, from_seq: int) -> int | None:
        """From event `from_seq` of `epoch` on the office has another past: ours is moved.

        Those events get numbers in a new epoch, which goes on from here; the epoch. None, and
        nothing changes, when none of them waits to be sent. Receipts keep the codes they have:
        event n of the old epoch is event n - `from_seq` + 2 of the new one.
        """
        with self._database.write_lock:
            span = self._spans.get(epoch)
            if span is None or not span.acknowledged < from_seq <= span.newest:
                return None
            opened = max(self.epoch, noted_epoch(self.file)) + 1
            with self._journalled() as connection:
                # Up to there the office compared, and has the same.
                values = {"of_epoch": epoch, "upto": from_seq - 1}
                connection.execute(
                    sql.ACKNOWLEDGE, {**values, "told_at_ms": span.acknowledged_at_ms}
                )
                move_events(connection, Place(self.till_id, epoch, from_seq), opened)
            self._load(opened, self._last_ms)
            note_epoch(self.file, opened)
        return opened
