"""The till's log: lines of key=value on stderr; no names, card numbers, tokens or keys."""

import logging
import os
from contextlib import suppress
from typing import TextIO, cast

import structlog

STDERR = 2


def set_up_logs() -> None:
    """Sends structlog's entries to stderr, one line each."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,
    )


class _Stderr:
    """The standard error. One that is closed or full must not stop the till.

    Written past Python's buffer: what cannot be written would stay in it, and spoil the exit.
    """

    def write(self, text: str) -> None:
        with suppress(OSError):
            os.write(STDERR, text.encode())

    def flush(self) -> None:
        pass
