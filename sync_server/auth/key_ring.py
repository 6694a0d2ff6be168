"""The keys of tills as this process last read them.

A hint, and nothing more: whether a till may speak is what its row says in the transaction that
takes what it said (`sync_server.ingest.take`). So nobody has to tell a process of a revocation.
"""

from threading import Lock

TILLS_MAX = 100_000


class KeyRing:
    """Public keys by till. Safe between threads; of too many tills the oldest is forgotten."""

    def __init__(self, tills_max: int = TILLS_MAX) -> None:
        self._tills_max = tills_max
        self._keys: dict[str, bytes] = {}
        self._lock = Lock()

    def get(self, till_id: str) -> bytes | None:
        """The key that the till had last time."""
        return self._keys.get(till_id)

    def keep(self, till_id: str, public_key: bytes) -> None:
        """Remembers a key that a signature was good by."""
        with self._lock:
            self._keys.pop(till_id, None)
            self._keys[till_id] = public_key
            if len(self._keys) > self._tills_max:
                del self._keys[next(iter(self._keys))]

    def drop(self, till_id: str) -> None:
        """Forgets a till, so that the registry is asked next time."""
        with self._lock:
            self._keys.pop(till_id, None)
