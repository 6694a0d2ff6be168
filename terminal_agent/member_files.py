"""The member index on this till's disk: a base, and the delta over it.

Both are swapped in together. What replaces them lies beside them until it has been opened; the old
files stay mapped for look-ups that are under way.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from native.matcher import IndexRefused, MemberIndex, signed_by
from terminal_agent.download import Download
from terminal_agent.members import MemberLookup

BASE = "members"
DELTA = "members-delta"
ENROL_AGAIN = "Enrol the till again: klantreis-office till add, then klantreis-till enrol."


class MemberFiles:
    """The index files in `directory`. `damaged` is told when a page of one has rotted.

    `key` is the deployment's identifier key. `trusted` gives the public keys by which the office
    signs, or signed what is here, `good` those that what comes may be signed with: a file that none
    of them signed is refused. A delta is signed with the key of its base.
    """

    def __init__(
        self,
        directory: Path,
        key: bytes,
        trusted: Callable[[], Sequence[bytes]],
        good: Callable[[], Sequence[bytes]],
        damaged: Callable[[IndexRefused], None],
    ) -> None:
        self._base = directory / BASE
        self._delta = directory / DELTA
        self._fresh_delta = directory / f"{DELTA}.new"
        self._key = key
        self._trusted = trusted
        self._good = good
        self._damaged = damaged
        self.download = Download(directory / f"{BASE}.part")

    def load(self, *, with_delta: bool) -> MemberLookup:
        """What was kept. Raises `IndexRefused` and `OSError`."""
        return self._open(self._base, self._delta if with_delta else None, self._trusted())

    def signer(self) -> bytes | None:
        """The key of the base that is in force, None when there is none that can be read."""
        try:
            return signed_by(self._base, self._trusted())
        except (IndexRefused, OSError):
            return None

    def take_base(self, delta: bytes) -> MemberLookup:
        """Puts the downloaded base in force, with `delta` (b"" for none) over it.

        Every page of it is checked first. Raises `FeedError`, `IndexRefused` and `OSError`; then
        the files before stay.
        """
        self.download.check()
        try:
            signer = _signer(self.download.file, self._good())
            whole = MemberIndex.open(self.download.file, key=self._key, public_key=signer)
            try:
                whole.scrub()
            finally:
                whole.close()
        except IndexRefused:
            self.download.discard()
            raise
        lookup = self._open(self.download.file, self._keep_delta(delta), (signer,))
        self.download.file.replace(self._base)
        self.download.taken()
        self._put_delta(delta)
        return lookup

    def take_delta(self, delta: bytes) -> MemberLookup:
        """Puts `delta` (b"" for none) in force over the base that is here.

        Raises `IndexRefused`, when it belongs on another base too, and `OSError`.
        """
        lookup = self._open(self._base, self._keep_delta(delta), self._good())
        self._put_delta(delta)
        return lookup

    def _open(self, base: Path, delta: Path | None, keys: Sequence[bytes]) -> MemberLookup:
        signer = _signer(base, keys)
        index = MemberIndex.open(base, key=self._key, public_key=signer, delta=delta)
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


def _signer(file: Path, keys: Sequence[bytes]) -> bytes:
    if not keys:
        raise IndexRefused("this till has no key of the office that is good", ENROL_AGAIN)
    # Of a file that none of them signed opening tells, with any of them, what is wrong.
    return signed_by(file, keys) or keys[-1]


def keep(file: Path, data: bytes) -> None:
    """Writes `data` to `file`, durably, for this user alone."""
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
