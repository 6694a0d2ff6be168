"""Errors of the office: what happened, and what to do about it.

The command line, the log and every answer that is not 2xx give the same two sentences.
"""


class OfficeError(Exception):
    """Something a person has to know. `code` is stable and names the entry in the docs."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


class SettingsError(OfficeError):
    """The office cannot start like this: data directory, keys or database are not usable."""


class RegistryError(OfficeError):
    """What was asked does not fit what the registry holds."""


class DatabaseError(OfficeError):
    """The database is away, busy for too long, full, or of another version."""


class RowRefused(DatabaseError):
    """The database is well, and does not take what it was given."""


class Refused(OfficeError):
    """A request that is answered with a `wire.batches.Refusal` under `status`."""

    def __init__(
        self, status: int, code: str, message: str, fix: str, *, expected_seq: int | None = None
    ) -> None:
        super().__init__(code, message, fix)
        self.status = status
        self.expected_seq = expected_seq
