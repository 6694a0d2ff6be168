"""The member index on this till's disk: a base, and the delta over it.

Both are swapped in together. What replaces them lies beside them until it has been opened; the old
files stay mapped for look-ups that are under way.
"""

import os
from collections.abc import Callable
from pathlib import Path

from native.matcher import IndexRefused, MemberIndex
from terminal_agent.download import Download
from terminal_agent.members import MemberLookup

BASE = "members"
DELTA = "members-delta"


class MemberFiles:
    """The index files in `directory`. `damaged` is told when a page of one has rotted.

    `key` is the deployment's identifier key, `office_key` the public key by which the office signs
    them: a file that it did not sign is refused.
    """

    def __init__(
        self,
        directory: Path,
        key: bytes,
        office_key: bytes,
        damaged: Callable[[IndexRefused], None],
    ) -> None:
        self._base = directory / BASE
        self._delta = directory / DELTA
        self._fresh_delta = directory / f"{DELTA}.new"
        self._key = key
        self._office_key = office_key
        self._damaged = damaged
        self.download = Download(directory / f"{BASE}.part")

    def load(self, *, with_delta: bool) -> MemberLookup:
        """What was kept. Raises `IndexRefused` and `OSError`."""
        return self._open(self._base, self._delta if with_delta else None)

    def take_base(self, delta: bytes) -> MemberLookup:
        """Puts the downloaded base in force, with `delta` (b"" for none) over it.

        Every page of it is checked first. Raises `FeedError`, `IndexRefused` and `OSError`; then
        the files before stay.
        """
        self.download.check()
        try:
            whole = MemberIndex.open(self.download.file, key=self._key, public_key=self._office_key)
            try:
                whole.scrub()
            finally:
                whole.close()
        except IndexRefused:
            self.download.discard()
            raise
        lookup = self._open(self.download.file, self._keep_delta(delta))
        self.download.file.replace(self._base)
        self.download.taken()
        self._put_delta(delta)
        return lookup

    def take_delta(self, delta: bytes) -> MemberLookup:
        """Puts `delta` (b"" for none) in force over the base that is here.

        Raises `IndexRefused`, when it belongs on another base too, and `OSError`.
        """
        lookup = self._open(self._base, self._keep_delta(delta))
        self._put_delta(delta)
        return lookup

    def _open(self, base: Path, delta: Path | None) -> MemberLookup:
        index = MemberIndex.open(base, key=self._key, public_key=self._office_key, delta=delta)
        return MemberLookup(index, self._damaged)

    def _keep_delta(self, delta: bytes) -> Path | None:
        if not delta:
            return None
        keep(self._fresh_delta, delta)
        return self._fresh_delta

    def _put_delta(self, delta: bytes) -> None:
        if delta:
            self._fresh_delta.replace(self._delta)
        else:
            self._delta.unlink(missing_ok=True)


def keep(file: Path, data: bytes) -> None:
    """Writes `data` to `file`, durably, for this user alone."""
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
