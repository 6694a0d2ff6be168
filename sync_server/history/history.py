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
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection

from sync_server.database import Database
from sync_server.follower import Did, Follower
from sync_server.history.arranged import Zones
from sync_server.history.arrays import np
from sync_server.history.files import Files, Manifest, zones_of
from sync_server.history.growing import Growing, Since
from sync_server.history.ledger import Ledger
from sync_server.history.ledger_reading import Days, caught_up
from sync_server.history.news import REBUILD_PERSONS_MIN, News, after, read_news
from sync_server.history.overlay import OVERLAY_ROWS_LIMIT, OverlayAge
from sync_server.history.part import ROW_BYTES, Part
from sync_server.history.reading import PERSONS_A_QUERY, reader_in
from sync_server.history.refusals import FilesFault, Preparing
from sync_server.history.standing import (
    Asked,
    Counts,
    Deltas,
    StandingCounts,
    StandingTallies,
    Whose,
)
from sync_server.history.state import State, frozen, manifest_fits
from sync_server.history.view import Layer, Parts, Result, View
from sync_server.history.writing import compacted, rebuilt
from sync_server.journeys.columns import read_stores
from sync_server.journeys.marks import (
    Changed,
    Newest,
    read_changed,
    read_newest,
    read_redone,
)
from sync_server.journeys.rows import Vocabulary
from sync_server.office import Office

DIRECTORY = "history"
PREPARED_WAIT_S_MAX = 5.0
BUSY_WAIT_S_MAX = 10.0
TRIES = 3
"""Times that it is asked again when what was there had to be dropped."""
FOLLOW_S = 1.0
"""From one taking up to the next. Who asks takes up the rest; so that they find little to do."""
STOP_WAIT_S_MAX = 10.0
TOUCHED_BYTES_MAX = 4 * 2**30
"""Of the files: larger ones come into memory as they are asked for."""

log = structlog.get_logger("history")


class Snapshot(NamedTuple):
    """The history at one moment."""

    view: View
    vocabulary: Vocabulary
    change: int
    """Every change of persons' touchpoints up to it is in."""
    step: int
    """Which of this process's own steps made it."""
    ledger: Ledger | None = None
    """What sales and vouchers add up to, of the same moment or a later one; None while the tables
    of that are made anew."""


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
        """Of the state. Never waited for `_writing` while it is held."""
        self._writing = threading.Lock()
        self._preparing = threading.Lock()
        self._is_ready = threading.Event()
        self._state: State | None = None
        self._ledger: Ledger | None = None
        self._deltas = Deltas()
        self._standing = StandingTallies()
        self._counts = StandingCounts()
        self._done = 0.0
        self._fault: OSError | None = None
        self._is_tidy = True
        self._touched = b""
        self._followers: list[Follower] = []
        self._overlay_age = OverlayAge()
        self._threads = ThreadPoolExecutor(_cores(), "fold")

    # --------------------------------------------------------------- asking

    def current(self) -> Snapshot:
        """The history with everything that is committed now. Raises `Preparing`, `FilesFault`."""
        for _ in range(TRIES):
            self._attend()
            if not self._is_ready.wait(PREPARED_WAIT_S_MAX if self._followers else 0.0):
                break
            if not self._lock.acquire(timeout=BUSY_WAIT_S_MAX):
                break
            try:
                state = self._caught_up(with_ledger=True)
                if state is not None and state.view.overlay_rows <= OVERLAY_ROWS_LIMIT:
                    last = self._deltas.last
                    return Snapshot(state.view, state.named, state.change, last, self._ledger)
            finally:
                self._lock.release()
            self.wake()
        fault = self._fault
        raise Preparing(self._done) if fault is None else FilesFault(fault) from fault

    def tallies(self, snapshot: Snapshot, asked: Sequence[Asked]) -> list[Any]:
        """`StandingTallies.tallies` over a snapshot."""
        names = snapshot.vocabulary
        sizes = (len(names.kinds), len(names.channels), len(names.stores))
        return self._standing.tallies(
            [one._replace(question=(one.question, sizes)) for one in asked],
            snapshot.view,
            snapshot.step,
            self._deltas,
            self.run_all,
        )

    def counts(
        self,
        snapshot: Snapshot,
        question: Hashable,
        count_in: Callable[[Parts, Whose], Counts],
        whose: Whose,
    ) -> Counts:
        """`StandingCounts.counts` over a snapshot."""
        names = snapshot.vocabulary
        sizes = (len(names.kinds), len(names.campaigns), len(names.stores))
        return self._counts.counts(
            (question, sizes),
            snapshot.view,
            snapshot.step,
            self._deltas,
            count_in,
            self.run_all,
            whose,
        )

    def status(self) -> Status:
        """How the history is on disk, and how far behind the database."""
        manifest = self.files.manifest()
        since = manifest.change if manifest else 0
        with self.database.read() as connection:
            newest = read_newest(connection)
            behind = read_changed(connection, after(since), newest.number, REBUILD_PERSONS_MIN)
        return Status(manifest, newest.number, len(behind), self.files.is_written())

    # ------------------------------------------------------------ following

    def start(self) -> None:
        """Follows in threads of its own until `stop`."""
        self._followers = [
            Follower("history", self.follow, gather_s=FOLLOW_S),
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
        """Compacts when it is due; deletes what nobody reads any more; has the files' pages in
        memory before somebody asks for what nobody asked for yet.
        """
        if self.is_due():
            self.compact()
        state = self._state
        if state is not None and state.manifest_id != self._touched:
            self._touched = state.manifest_id
            if state.manifest.rows * ROW_BYTES <= TOUCHED_BYTES_MAX:
                for part in state.view.base:
                    part.touch()
        if not self._is_tidy:
            with self._writing, self.files.writing() as mine:
                self._is_tidy = mine and self.files.tidy()
        return Did.NOTHING

    def is_due(self) -> bool:
        """Whether the files should be made anew; see `OverlayAge`."""
        state = self._state
        return state is not None and self._overlay_age.is_due(state.view, self._monotonic())

    # -------------------------------------------------------------- writing

    def rebuild(self, told: Callable[[float], None] | None = None) -> bool:
        """Reads everything anew; whether this process could. `told` hears how far it is, 0 to 1."""

        def hear(done: float) -> None:
            if int(done * 10) > int(self._done * 10):
                self._tell("preparing", done=f"{done:.0%}")
            self._done = done
            if told is not None:
                told(done)

        with self._writing, self.files.writing() as mine:
            if not mine:
                return False
            self._done, began_s = 0.0, time.monotonic()
            try:
                rows = rebuilt(self.database, self.files, self._now_ms(), hear)
                self._is_tidy = self.files.tidy()
            except OSError as error:
                self._fault = error
                raise
            self._fault = None
            self._tell("prepared", rows=rows, took_s=round(time.monotonic() - began_s, 1))
            return True

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
            manifest, written = compacted(self.files, state, self._now_ms())
            with self._lock:
                self.files.publish(manifest)
                if self._state is not None and self._state.vocabulary is state.vocabulary:
                    self._put_under(self._state, manifest, is_ours=True)
            self._is_tidy = self.files.tidy()
        self._tell(
            "compacted",
            buckets=written,
            rows=manifest.rows,
            took_s=round(time.monotonic() - began_s, 1),
            old_files_deleted=self._is_tidy,
        )
        return True

    # ------------------------------------------------------------- the rest

    def _attend(self) -> None:
        """Without threads of its own, does what they would have done."""
        if self._followers:
            return
        try:
            if self._state is None:
                self._prepare()
            if self.is_due():
                self.compact()
        except OSError as error:
            raise FilesFault(error) from error

    def _prepare(self) -> None:
        """Opens what is on disk, or builds it; nothing when another process builds it."""
        with self._preparing:
            with self._lock:
                if self._state is not None or self._open():
                    return
            if self.rebuild():
                with self._lock:
                    self._open()

    def _open(self) -> bool:
        """Takes what is on disk, if it is of this database and these days."""
        with self.database.read() as connection:
            newest, stores = read_newest(connection), read_stores(connection)
        zone_of = zones_of(stores)
        with self.files.reading():
            manifest_id = self.files.manifest_id()
            manifest = self.files.manifest()
            if manifest is None or not manifest_fits(manifest, newest, zone_of):
                return False
            base = self._opened(manifest)
        if base is None:
            return False
        vocabulary = manifest.vocabulary()
        self._forget()
        self._state = State(
            View(base),
            vocabulary,
            frozen(vocabulary),
            zone_of,
            Zones(stores),
            manifest,
            manifest_id,
            newest.era,
            manifest.change,
            manifest.position,
        )
        self._overlay_age = OverlayAge()
        self._is_ready.set()
        return True

    def _opened(self, manifest: Manifest) -> list[Part] | None:
        try:
            return [self.files.open(bucket) for bucket in manifest.buckets]
        except OSError as error:
            self._tell("files are broken, and are made anew", error=str(error))
            return None

    def _reopen(self, state: State) -> None:
        """Takes the files that another process has written, where its codes are ours."""
        with self.files.reading():
            manifest = self.files.manifest()
            if manifest is None or not state.goes_on_in(manifest):
                self._lose()
            else:
                self._put_under(state, manifest, is_ours=False)

    def _put_under(self, state: State, manifest: Manifest, *, is_ours: bool) -> None:
        """Puts other files under the layers; `is_ours`: they were made of this view."""
        manifest_id = self.files.manifest_id()
        base = self._opened(manifest)
        if base is None:
            self._lose()
            return
        if not is_ours:
            # Of a person who changed they may have rows that this process did not read yet: what
            # was counted is not what the view is made of any more.
            self._forget()
        view = state.view.over(base, manifest.change)
        is_ahead = manifest.change > state.change
        self._state = state._replace(
            view=view,
            manifest=manifest,
            manifest_id=manifest_id,
            change=manifest.change if is_ahead else state.change,
            position=manifest.position if is_ahead else state.position,
        )
        self._overlay_age.begin(view, self._monotonic())

    def _tell(self, what: str, **facts: object) -> None:
        """Into the log of an office that serves; a command's output is its answer."""
        if self._followers:
            log.info(what, **facts)

    def _forget(self) -> None:
        self._deltas.forget()
        self._standing.forget()
        self._counts.forget()

    def _lose(self) -> None:
        self._state = None
        self._is_ready.clear()

    def _caught_up(self, *, with_ledger: bool = False) -> State | None:
        """The state after everything that is committed; None when it must be opened anew.

        The ledger is kept up when somebody asks: between questions nobody reads it.
        """
        state = self._state
        if state is not None and self.files.manifest_id() != state.manifest_id:
            self._reopen(state)
        state = self._state
        if state is None:
            return None
        with self.database.snapshot() as connection:
            news = read_news(connection, state)
            if news.are_too_many:
                self._tell(
                    "so many changed that everything is read anew", persons=len(news.changed)
                )
                self.files.withdraw()
            if not news.fits or news.are_too_many:
                self._lose()
                return None
            if with_ledger or self._ledger is None:
                days = Days(news.stores, news.zones)
                self._ledger = caught_up(connection, days, news.newest, self._ledger)
            newest = news.newest
            state = state._replace(zone_of=news.zone_of, zones=news.zones, era=newest.era)
            self._state = state
            if news.changed:
                self._take_up(connection, state, news)
            else:
                self._state = state._replace(change=newest.number, position=newest.position)
        return self._state

    def _take_up(self, connection: Connection, state: State, news: News) -> None:
        """Reads who changed."""
        newest, changed = news.newest, news.changed
        redone = np.unique(np.array(read_redone(connection, state.change), np.int64))
        opened = Growing(
            reader_in(connection, state.vocabulary, state.zones),
            Since(state.position, newest.position, redone),
        )
        for start in range(0, len(changed), PERSONS_A_QUERY):
            chunk = changed[start : start + PERSONS_A_QUERY]
            is_last = start + PERSONS_A_QUERY >= len(changed)
            upto = newest if is_last else state.before(chunk[-1].change)
            state = self._take(state, chunk, opened, upto)
            if state.view.overlay_rows > OVERLAY_ROWS_LIMIT:
                return

    def _take(
        self, state: State, changed: Sequence[Changed], opened: Growing, upto: Newest
    ) -> State:
        """Takes up some persons; after that every change up to `upto` is taken up."""
        by_person = sorted(changed)
        persons = np.array([one.person for one in by_person], np.int64)
        changes = np.array([one.change for one in by_person], np.int64)
        before = state.view.of(persons)
        layer = Layer(persons, changes, opened.now(persons, before))
        view = state.view.with_layer(layer)
        self._state = taken = state._replace(
            view=view,
            named=frozen(state.vocabulary, state.named),
            change=upto.number,
            position=upto.position,
        )
        self._deltas.add(before, layer.part)
        self._overlay_age.take(layer, view, self._monotonic())
        return taken

    def run_all(self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """What some works do, several at once."""
        if len(works) == 1:
            return [works[0]()]
        return [done.result() for done in [self._threads.submit(work) for work in works]]


def history_for(office: Office) -> History | None:
    """The history of an office that keeps one."""
    if not office.settings.keeps_history:
        return None
    return History(office.database, office.settings.data_dir, office.now_ms)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
