"""The touchpoints of everybody, as they are now: opened or built, followed, compacted.

One `History` an office process. Several processes of one data directory share the files: each
follows the marks by itself and has what changed since in its own memory; whoever holds the lock
compacts, and the others take its files.
"""

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from native.fold import Tally
from sync_server.database import Database
from sync_server.errors import Refused
from sync_server.follower import Did, Follower
from sync_server.history.arranged import Zones
from sync_server.history.building import ROWS_A_CHUNK, buckets_for, spread_out
from sync_server.history.files import (
    VERSION,
    Bucket,
    Files,
    Manifest,
    bucket_name,
    is_counted_alike,
    zones_of,
)
from sync_server.history.reading import PERSONS_A_QUERY, Reader, reader
from sync_server.history.standing import Delta, Deltas, StandingSummaries
from sync_server.history.view import Layer, View
from sync_server.journeys.columns import Stores, read_stores
from sync_server.journeys.marks import Changed, Newest, read_changed, read_newest
from sync_server.journeys.rows import Vocabulary
from sync_server.office import Office

DIRECTORY = "history"
OVERLAY_ROWS_MAX = 2_000_000
"""Some hundred megabytes; from here on the files are made anew."""
OVERLAY_ROWS_LIMIT = 2 * OVERLAY_ROWS_MAX
"""From here on it does not follow until they are."""
OVERLAY_S_MAX = 6 * 3_600.0
GONE_S_MAX = 900.0
"""After so long the rows of who is gone (erased, or joined to somebody) leave the files."""
REBUILD_PERSONS_MIN = 100_000
"""With more persons changed at once, and a quarter of all, reading everything anew is quicker."""
PREPARED_WAIT_S_MAX = 2.0
BUSY_WAIT_S_MAX = 10.0
RETRY_S = 5
STOP_WAIT_S_MAX = 10.0

log = structlog.get_logger("history")


class Preparing(Refused):
    """The history is not whole yet."""

    wait_s = RETRY_S

    def __init__(self, done: float) -> None:
        super().__init__(
            503,
            "history_preparing",
            f"The figures are being prepared: {done:.0%} of the history is read.",
            "Ask again in a minute; klantreis-office history status tells how far it is.",
        )


class Snapshot(NamedTuple):
    """The history at one moment."""

    view: View
    vocabulary: Vocabulary
    change: int
    """Every change of persons' touchpoints up to it is in."""
    step: int
    """Which of this process's own steps made it."""


class _State(NamedTuple):
    view: View
    vocabulary: Vocabulary
    zones: Zones
    manifest: Manifest
    change: int
    file_id: tuple[int, int]
    """Which manifest file was read."""


class Status(NamedTuple):
    """How the history is."""

    manifest: Manifest | None
    newest: int
    persons_behind: int
    is_writing: bool


class History:
    """See above. Threads may share it."""

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.database = database
        self.files = Files(data_dir / DIRECTORY)
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._is_ready = threading.Event()
        self._state: _State | None = None
        self._deltas = Deltas()
        self._standing = StandingSummaries()
        self._done = 0.0
        self._followers: list[Follower] = []
        self._overlaid_since_s: float | None = None
        self._gone_since_s: float | None = None
        self._threads = ThreadPoolExecutor(_cores(), "fold")

    # --------------------------------------------------------------- asking

    def current(self) -> Snapshot:
        """The history with everything that is committed now. Raises `Preparing`."""
        if self._state is None and not self._followers:
            self._prepare()
        if not self._followers and self.is_due():
            self.compact()
        if not self._is_ready.wait(PREPARED_WAIT_S_MAX):
            raise Preparing(self._done)
        if not self._lock.acquire(timeout=BUSY_WAIT_S_MAX):
            raise Preparing(self._done)
        try:
            state = self._caught_up()
            if state is None and not self._followers:
                self._prepare_locked()
                state = self._state
            if state is None or state.view.overlay_rows > OVERLAY_ROWS_LIMIT:
                raise Preparing(self._done)
            return Snapshot(state.view, state.vocabulary, state.change, self._deltas.last)
        finally:
            self._lock.release()

    def tallies(
        self, snapshot: Snapshot, question: Hashable, make: Callable[[], list[Tally]]
    ) -> list[Tally]:
        """`StandingSummaries.tallies` over a snapshot."""

        def since(_: int) -> list[Delta] | None:
            """Nothing: every question is counted anew. Taking persons' old rows away and adding
            their new ones (`self._deltas.since`) was not the same in all orders of arrival.
            """
            return None

        names = snapshot.vocabulary
        sizes = (len(names.kinds), len(names.channels), len(names.stores))
        whole = (question, sizes)
        return self._standing.tallies(
            whole, snapshot.view, snapshot.step, since, make, self._run_all
        )

    def status(self) -> Status:
        """How the history is on disk, and how far behind the database."""
        manifest = self.files.manifest()
        since = manifest.change if manifest else 0
        with self.database.read() as connection:
            newest = read_newest(connection)
            behind = read_changed(connection, _after(since), newest.number, REBUILD_PERSONS_MIN)
        return Status(manifest, newest.number, len(behind), self.files.is_written())

    # ------------------------------------------------------------ following

    def start(self) -> None:
        """Follows in threads of its own until `stop`."""
        self._followers = [
            Follower("history", self.follow),
            Follower("history-files", self.tend),
        ]
        for follower in self._followers:
            follower.start()

    def wake(self) -> None:
        """Something may have changed."""
        for follower in self._followers[:1]:
            follower.wake()

    def stop(self) -> None:
        """Ends its threads."""
        for follower in self._followers:
            follower.stop(STOP_WAIT_S_MAX)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def follow(self) -> Did:
        """Takes up what changed; opens or builds the history first."""
        if self._state is None:
            self._prepare()
            return Did.FULL if self._state is not None else Did.NOTHING
        with self._lock:
            before = self._deltas.last
            self._caught_up()
            return Did.SOME if self._deltas.last > before else Did.NOTHING

    def tend(self) -> Did:
        """Compacts when it is due."""
        if self.is_due():
            self.compact()
        return Did.NOTHING

    def is_due(self) -> bool:
        """Whether the files should be made anew: too much beside them, for too long, or of
        persons who are gone.
        """
        state, now_s = self._state, self._monotonic()
        if state is None or not state.view.layers:
            return False
        waited = self._overlaid_since_s is not None and (
            now_s - self._overlaid_since_s > OVERLAY_S_MAX
        )
        gone = self._gone_since_s is not None and now_s - self._gone_since_s > GONE_S_MAX
        return waited or gone or state.view.overlay_rows > OVERLAY_ROWS_MAX

    # -------------------------------------------------------------- writing

    def rebuild(self, told: Callable[[float], None] | None = None) -> bool:
        """Reads everything anew; whether this process could. `told` hears how far it is, 0 to 1."""
        with self._writing, self.files.writing() as mine:
            if mine:
                self._build(told)
        return mine

    def compact(self) -> bool:
        """Writes the buckets with what changed; whether this process could."""
        with self._writing, self.files.writing() as mine:
            if not mine:
                return False
            with self._lock:
                state = self._caught_up()
            if state is None:
                return False
            began_s = time.monotonic()
            generation = state.manifest.generation + 1
            buckets = list(state.manifest.buckets)
            changed = state.view.changed_buckets() if len(state.view.overlaid) else []
            for number in changed:
                part = state.view.bucket(number)
                buckets[number] = self.files.write(bucket_name(generation, number), part)
            with self._lock:
                newest = Newest(state.manifest.era, state.change)
                stores = state.manifest.zones
                self._publish(newest, generation, buckets, state.vocabulary, stores)
                self._reopen()
            is_tidy = self.files.tidy()
        log.info(
            "compacted",
            buckets=len(changed),
            rows=sum(bucket.rows for bucket in buckets),
            took_s=round(time.monotonic() - began_s, 1),
            old_files_deleted=is_tidy,
        )
        return True

    def _build(self, told: Callable[[float], None] | None) -> None:
        began_s = time.monotonic()
        before = self.files.manifest()
        generation = before.generation + 1 if before else 1
        with self.database.read() as connection:
            newest, stores = read_newest(connection), read_stores(connection)
        vocabulary, zones = Vocabulary(), Zones(stores)

        def hear(done: float) -> None:
            if int(done * 10) > int(self._done * 10):
                log.info("preparing", done=f"{done:.0%}")
            self._done = done
            if told is not None:
                told(done)

        self._done = 0.0
        with reader(self.database, vocabulary, zones) as opened:
            rows = opened.count()
            buckets = spread_out(
                opened, self.files, generation, buckets_for(rows), ROWS_A_CHUNK, rows, hear
            )
        self._publish(newest, generation, buckets, vocabulary, zones_of(stores))
        self.files.tidy()
        log.info("prepared", rows=rows, took_s=round(time.monotonic() - began_s, 1))

    def _publish(
        self,
        newest: Newest,
        generation: int,
        buckets: Sequence[Bucket],
        names: Vocabulary,
        zones: dict[str, str],
    ) -> None:
        manifest = Manifest(
            VERSION,
            newest.era,
            newest.number,
            generation,
            list(buckets),
            list(names.kinds.names),
            list(names.channels.names),
            list(names.stores.names),
            zones,
            self._now_ms(),
        )
        self.files.publish(manifest)

    # ------------------------------------------------------------- the rest

    def _prepare(self) -> None:
        """Opens what is on disk, or builds it; nothing when another process builds it."""
        with self._lock:
            if self._open():
                return
        if self.rebuild():
            with self._lock:
                self._open()

    def _prepare_locked(self) -> None:
        if not self._open() and self.rebuild():
            self._open()

    def _open(self) -> bool:
        """Takes what is on disk, if it is of this database and these days."""
        with self.database.read() as connection:
            newest, stores = read_newest(connection), read_stores(connection)
        with self.files.reading():
            manifest = self.files.manifest()
            if manifest is None or not _fits(manifest, newest, stores):
                return False
            try:
                base = [self.files.open(bucket) for bucket in manifest.buckets]
            except OSError as error:
                log.warning("files are broken, and are made anew", error=str(error))
                return False
            file_id = self._file_id()
        self._state = _State(
            View(base), manifest.vocabulary(), Zones(stores), manifest, manifest.change, file_id
        )
        self._deltas.forget()
        self._standing.forget()
        self._overlaid_since_s = self._gone_since_s = None
        self._is_ready.set()
        return True

    def _reopen(self) -> None:
        """Takes the files of a manifest that another process, or a compaction, has written.

        Codes are its writer's; where they are others than ours, everything is opened anew.
        """
        state = self._state
        with self.files.reading():
            manifest = self.files.manifest()
            if state is None or manifest is None or not _continues(state, manifest):
                self._lose()
                return
            base = [self.files.open(bucket) for bucket in manifest.buckets]
            file_id = self._file_id()
        view = state.view.over(base, manifest.change)
        self._state = state._replace(view=view, manifest=manifest, file_id=file_id)
        self._overlaid_since_s = self._monotonic() if view.layers else None
        self._gone_since_s = self._monotonic() if len(view.gone()) else None

    def _lose(self) -> None:
        self._state = None
        self._is_ready.clear()

    def _caught_up(self) -> _State | None:
        """The state after everything that is committed; None when it must be opened anew."""
        state = self._state
        if state is None:
            return None
        if self._file_id() != state.file_id:
            self._reopen()
        with self.database.read() as connection:
            newest, stores = read_newest(connection), read_stores(connection)
        state = self._state
        if state is None or not _fits(state.manifest, newest, stores):
            self._lose()
            return None
        if newest.number <= state.change:
            return state
        since = _after(state.change)
        with self.database.read() as connection:
            some = read_changed(connection, since, newest.number, REBUILD_PERSONS_MIN)
        everybody = sum(len(part.persons) for part in state.view.base)
        if len(some) >= max(REBUILD_PERSONS_MIN, everybody // 4):
            log.info("so many persons changed that everything is read anew", persons=len(some))
            self.files.withdraw()
            self._lose()
            return None
        zones = Zones(stores) if set(stores.zone_of) != state.zones.stores else state.zones
        with reader(self.database, state.vocabulary, zones) as opened:
            for start in range(0, len(some), PERSONS_A_QUERY):
                chunk = some[start : start + PERSONS_A_QUERY]
                is_last = start + PERSONS_A_QUERY >= len(some)
                up_to = newest.number if is_last else chunk[-1].change - 1
                state = self._take(state, chunk, opened, up_to)
                if state.view.overlay_rows > OVERLAY_ROWS_LIMIT:
                    break
        self._state = state = state._replace(zones=zones)
        return state

    def _take(
        self, state: _State, changed: Sequence[Changed], opened: Reader, change: int
    ) -> _State:
        """Takes up some persons; after that every change up to `change` is taken up."""
        by_person = sorted(changed)
        persons = np.array([one.person for one in by_person], np.int64)
        changes = np.array([one.change for one in by_person], np.int64)
        layer = Layer(persons, changes, opened.of(persons.tolist()))
        before = state.view.of(persons)
        view = state.view.with_layer(layer)
        self._state = taken = state._replace(view=view, change=max(state.change, change))
        self._deltas.add(before, layer.part)
        now_s = self._monotonic()
        if self._overlaid_since_s is None:
            self._overlaid_since_s = now_s
        if self._gone_since_s is None and len(layer.part.persons) < len(layer.persons):
            self._gone_since_s = now_s if len(view.gone()) else None
        return taken

    def _file_id(self) -> tuple[int, int]:
        return self.files.manifest_id()

    def _run_all(self, works: Sequence[Callable[[], list[Tally]]]) -> list[list[Tally]]:
        if len(works) == 1:
            return [works[0]()]
        return [done.result() for done in [self._threads.submit(work) for work in works]]


def history_for(office: Office) -> History | None:
    """The history of an office that keeps one."""
    if not office.settings.keeps_history:
        return None
    return History(office.database, office.settings.data_dir, office.now_ms)


def _fits(manifest: Manifest, newest: Newest, stores: Stores) -> bool:
    """Whether files are of this database, not newer than it, and of its stores' days."""
    is_same_era = manifest.era == newest.era or (manifest.era == "" and manifest.rows == 0)
    is_past = manifest.change <= newest.number
    return is_same_era and is_past and is_counted_alike(manifest.zones, zones_of(stores))


def _continues(state: _State, manifest: Manifest) -> bool:
    """Whether codes mean the same, and nothing that was read is missing."""
    names = state.vocabulary
    ours = (names.kinds.names, names.channels.names, names.stores.names)
    theirs = (manifest.kinds, manifest.channels, manifest.stores)
    return (
        manifest.era == state.manifest.era
        and len(manifest.buckets) == len(state.manifest.buckets)
        and manifest.change >= state.manifest.change
        and all(mine[: len(other)] == other for mine, other in zip(ours, theirs, strict=True))
    )


def _after(change: int) -> Changed:
    """Before the first person of the next change."""
    return Changed(-1, change + 1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
