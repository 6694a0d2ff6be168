"""Which files of the member index tills get, and when a new base is due."""

import threading
import time

import structlog

from sync_server.errors import OfficeError, Refused
from sync_server.feed.base import BaseFile, Label, current_base, rebase, shape_of
from sync_server.feed.delta import Changes, Delta, build_delta, changes_since, snapshot
from sync_server.feed.former import end_former
from sync_server.office import Office
from sync_server.registry.generations import FORMER_BASES_MAX, former_bases, generations
from sync_server.registry.office_key_change import forget_ended, is_due, signer
from sync_server.registry.office_keys import office_keys
from sync_server.registry.schemes import load_schemes

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
LOOK_EVERY_S = 60.0
"""How often a process looks whether the deltas over a former base can end."""


class MemberFiles:
    """The base and delta of one process. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Delta] = {}
        """The last delta, by the version of the base it lies over."""
        self._look_at_s = 0.0
        self._rebasing: threading.Thread | None = None
        self._rest_until_s = 0.0

    def base(self, office: Office) -> BaseFile:
        """The current base."""
        return current_base(office)

    def delta(self, office: Office, base_version: str) -> Delta:
        """The delta over the base a till has, which may be a former one.

        Raises `Refused` when none goes out over that base.
        """
        for _ in range(TRIES_MAX):
            current = current_base(office)
            found = self._label(office, current, base_version)
            if found is None:
                raise Refused(
                    409,
                    "base",
                    "The till's member index is not one that deltas go out over.",
                    "Fetch the base anew: GET /v1/feed/members",
                )
            # Tills ask all at once: one builds, the others get what it built.
            with self._lock:
                delta = self._delta(office, current, *found)
            if delta is not None:
                return delta
        raise Refused(503, "busy", "The member index is being built.", "Ask again later.")

    def look(self, office: Office) -> None:
        """Now and then ends what no till needs any more. Cheap; whoever asks for news calls it."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            try:
                end_former(office)
                forget_ended(office)
                if is_due(office):
                    self._rebase_beside(office)
            except OfficeError as error:
                # The till that asked has nothing to do with it; the next look tries again.
                log.warning("feed not looked after", code=error.code, message=error.message)

    def _label(
        self, office: Office, current: BaseFile, base_version: str
    ) -> tuple[Label, bytes] | None:
        """The label of a base that gets deltas, and the key that they are signed with: its own."""
        schemes = load_schemes(office.settings.data_dir)
        with office.database.read() as connection:
            former = former_bases(generations(connection))
            states = office_keys(connection, office.keys)
        every = [current.label.begins, *(each.begins for each in former)]
        for key in reversed(states):
            if key.is_good(office.now_ms()):
                shape = shape_of(schemes, key.public_key)
                for label in (Label(begins, shape) for begins in every):
                    if label.version == base_version:
                        return label, key.public_key
        return None

    def _delta(
        self, office: Office, current: BaseFile, label: Label, public_key: bytes
    ) -> Delta | None:
        with office.database.read() as connection:
            snapshot(connection)
            changes = changes_since(connection, label.begins)
            if changes is None:
                self._kept.pop(label.version, None)
                return None
            kept = self._kept.get(label.version)
            if kept is not None and kept.version == changes.at.version:
                return kept
            if label == current.label and is_base_due(
                changes, current.count(office), office.now_ms()
            ):
                self._rebase_beside(office)
            if changes.entries <= DELTA_ENTRIES_MAX:
                sign = signer(office, public_key)
                kept = build_delta(office, connection, label.begins, changes, sign)
                self._keep(label.version, kept)
        return kept

    def _keep(self, base_version: str, delta: Delta) -> None:
        self._kept.pop(base_version, None)
        self._kept[base_version] = delta
        while len(self._kept) > 1 + FORMER_BASES_MAX:
            del self._kept[next(iter(self._kept))]

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
