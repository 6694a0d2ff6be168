"""Errors of the till: what happened, and what to do about it.

The counter, the log and the command line print the same two sentences.
"""


class TillError(Exception):
    """Something a person has to know. `code` is stable and names the entry in the docs."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


class ConfigError(TillError):
    """The configuration is not usable; `message` lists every fault with file and key."""


class JournalError(TillError):
    """The journal could not commit, or cannot be opened. Nothing of the attempt was kept."""


class CounterError(TillError):
    """A key the counter sent could not be understood."""


class OfficeRefused(TillError):
    """The office answered and said no."""


class OfficeUnreachable(TillError):
    """The office did not answer, asks to come later, or what answered is not the office."""

    retry_after_s: float = 0.0
    """How long it asked to wait; 0 when it did not say."""
