"""Whose turn it is to write, where one writes at a time: in order, and who can wait lets others go.

The projector can wait: a till waits for its acknowledgement, nobody waits a moment for a figure.
"""

import threading
import time
from collections import deque

PATIENCE_S = 0.25
"""So long who can wait lets others go first; then it stands in the queue like everybody."""
WANTED_S = 0.5
"""So long after the last turn of somebody impatient the next one is to be expected."""


class Turns:
    """A lock that is fair, and that the patient leave to the others for a while."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._queue: deque[object] = deque()
        self._wanted_at_s = -WANTED_S

    @property
    def are_wanted(self) -> bool:
        """Whether somebody stands in the queue, or did a moment ago: who can wait be brief."""
        return bool(self._queue) or time.monotonic() < self._wanted_at_s + WANTED_S

    def take(self, wait_s: float, *, is_patient: bool = False) -> bool:
        """Takes a turn; whether it came within `wait_s`, and with `is_patient` `PATIENCE_S` more.

        `give_back` ends it.
        """
        with self._changed:
            if is_patient and self._changed.wait_for(self._is_free, PATIENCE_S):
                self._is_taken = True
                return True
            if not is_patient:
                self._wanted_at_s = time.monotonic()
            return self._stand(wait_s)

    def give_back(self) -> None:
        """The turn is over."""
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()

    def _is_free(self) -> bool:
        return not self._is_taken and not self._queue

    def _stand(self, wait_s: float) -> bool:
        place = object()
        self._queue.append(place)
        came = False
        try:
            came = self._changed.wait_for(
                lambda: not self._is_taken and self._queue[0] is place, wait_s
            )
        finally:
            self._queue.remove(place)
            if came:
                self._is_taken = True
            else:
                self._changed.notify_all()
        return came
