"""Which files of the member index tills get, and when a new base is due."""

import threading
import time

import structlog

from sync_server.errors import OfficeError, Refused
from sync_server.feed.base import BaseFile, current_base, rebase
from sync_server.feed.delta import Changes, Delta, build_delta, changes_since, snapshot
from sync_server.office import Office

log = structlog.get_logger("feed")

DELTA_SHARE_MAX = 0.01
"""A delta that reaches this share of its base makes a new base due, …"""
DELTA_ENTRIES_FREE = 20_000
"""… but one of so many entries (0.2 MB, about a second to build) never does."""
DELTA_ENTRIES_MAX = 400_000
"""A larger delta is not built at all: tills keep the one they have until the new base is there."""
TOMBSTONE_AGE_MS_MAX = 7 * 86_400_000
"""A new base is due when a removed number has lain sealed here for so long."""
REBASE_REST_S_MIN = 60.0
REBASE_REST_FACTOR = 5
"""Between two bases there is at least this many times what the last one took."""
TRIES_MAX = 3


class MemberFiles:
    """The base and delta of one process. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[str, Delta] | None = None
        """The last delta, and the version of the base it lies over."""
        self._rebasing: threading.Thread | None = None
        self._rest_until_s = 0.0

    def base(self, office: Office) -> BaseFile:
        """The current base."""
        return current_base(office)

    def delta(self, office: Office, base_version: str) -> Delta:
        """The delta over the base a till has. Raises `Refused` when that base is not current."""
        for _ in range(TRIES_MAX):
            base = current_base(office)
            if base.label.version != base_version:
                raise Refused(
                    409,
                    "base",
                    "The till's member index is not the one that deltas begin at.",
                    "Fetch the base anew: GET /v1/feed/members",
                )
            # Tills ask all at once: one builds, the others get what it built.
            with self._lock:
                delta = self._delta(office, base)
            if delta is not None:
                return delta
        raise Refused(503, "busy", "The member index is being built.", "Ask again later.")

    def _delta(self, office: Office, base: BaseFile) -> Delta | None:
        with office.database.read() as connection:
            snapshot(connection)
            changes = changes_since(connection, base)
            if changes is None:
                return None
            kept = self._kept
            if kept is not None and kept[0] != base.label.version:
                kept = None
            if kept is not None and kept[1].version == changes.at.version:
                return kept[1]
            if is_base_due(changes, base.count(office), office.now_ms()):
                self._rebase_beside(office)
            if changes.entries <= DELTA_ENTRIES_MAX:
                fresh = build_delta(office, connection, base, changes)
                self._kept = (base.label.version, fresh)
                return fresh
        return None if kept is None else kept[1]

    def _rebase_beside(self, office: Office) -> None:
        if self._rebasing is not None and self._rebasing.is_alive():
            return
        if time.monotonic() < self._rest_until_s:
            return
        # The process may end meanwhile: the next one sees that a base is due.
        self._rebasing = threading.Thread(
            target=self._rebase, args=(office,), name="rebase", daemon=True
        )
        self._rebasing.start()

    def _rebase(self, office: Office) -> None:
        began_s = time.monotonic()
        try:
            rebase(office)
        except OfficeError as error:
            log.error("no new member base", code=error.code, message=error.message)
        except Exception:
            log.exception("fault")
        took_s = time.monotonic() - began_s
        self._rest_until_s = time.monotonic() + max(REBASE_REST_S_MIN, REBASE_REST_FACTOR * took_s)

    def settle(self) -> None:
        """Waits until a base that is being built beside is there."""
        if self._rebasing is not None:
            self._rebasing.join()


def is_base_due(changes: Changes, base_entries: int, now_ms: int) -> bool:
    """Whether so much changed, or was removed so long ago, that a new base is due."""
    if changes.entries > max(DELTA_ENTRIES_FREE, DELTA_SHARE_MAX * base_entries):
        return True
    oldest_ms = changes.oldest_removal_ms
    return oldest_ms is not None and now_ms - oldest_ms > TOMBSTONE_AGE_MS_MAX
