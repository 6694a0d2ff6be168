"""This till changes its key: when the key is old, when somebody here asks, when the office does.

The new key is on the disk before the office hears of it, and the old one stays until the office has
confirmed the new. Cut off anywhere, the till has the key that the office knows: a request that is
refused for its signature is signed with the coming key once more (`terminal_agent.office`).
"""

import time
from hashlib import blake2b
from pathlib import Path

import structlog

from terminal_agent.clock import SystemClock
from terminal_agent.errors import TillError
from terminal_agent.identity import Identity
from terminal_agent.office import Office

DAY_MS = 86_400_000
SPREAD = 0.1
"""Tills that were enrolled together change their keys over this share of the time before."""
AGAIN_S = 3_600.0
"""After a failure it waits so long, unless somebody asks."""

log = structlog.get_logger("key")


def asked_file(data: Path) -> Path:
    """There when `klantreis-till rotate-key` was typed while the till runs."""
    return data / "rotate-key"


def rotate(office: Office, identity: Identity) -> None:
    """Changes the till's key. Raises `OfficeRefused`, `OfficeUnreachable` and `OSError`.

    One that was begun before is ended.
    """
    coming = identity.prepare()
    changed = office.change_key(identity.change_to(coming))
    identity.adopt(coming, changed.office_time_ms)
    log.info("key changed", till=identity.till_id)


def due_at_ms(identity: Identity, days: int) -> int:
    """When the key is old enough to be changed, by the office's clock."""
    share = int.from_bytes(blake2b(identity.till_id.encode(), digest_size=4).digest()) / 2**32
    return identity.key.made_at_ms + int(days * DAY_MS * (1 - SPREAD * share))


class Rotation:
    """Looks whether the key of `identity` is to be changed, and changes it over `office`.

    For the thread that `office` is for. `data` is the till's directory, `days` how old a key gets;
    0 for any age.
    """

    def __init__(self, identity: Identity, office: Office, data: Path, days: int) -> None:
        self._identity = identity
        self._office = office
        self._asked = asked_file(data)
        self._days = days
        self._not_before_s = 0.0

    def look(self) -> None:
        """Changes the key if it is time. No failure comes out of it: the next look tries again."""
        is_asked = self._asked.exists()
        if not (is_asked or self._is_due()):
            return
        if not is_asked and time.monotonic() < self._not_before_s:
            return
        self._not_before_s = time.monotonic() + AGAIN_S
        try:
            rotate(self._office, self._identity)
            self._asked.unlink(missing_ok=True)
        except (TillError, OSError) as error:
            log.warning("key not changed", till=self._identity.till_id, reason=str(error))

    def _is_due(self) -> bool:
        if self._office.asks_rotation or self._identity.coming is not None:
            return True
        if not self._days or self._office.offset_ms is None:
            return False
        now_ms = SystemClock().now().wall_ms + self._office.offset_ms
        return due_at_ms(self._identity, self._days) <= now_ms
