"""What the history says when it cannot be asked."""

from sync_server.errors import Refused

RETRY_S = 5


class Preparing(Refused):
    """The history is not whole yet."""

    wait_s = RETRY_S

    def __init__(self, done: float) -> None:
        super().__init__(
            503,
            "history_preparing",
            f"The figures are being prepared: {done:.0%} of the history is read.",
            "Ask again in a minute; klantreis-office history status tells how far it is.",
        )


class FilesFault(Refused):
    """The files can be neither read nor made."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            503,
            "history_files",
            f"The files of the history cannot be used: {error}",
            "See that the data directory has room and is writable; KLANTREIS_HISTORY=off does"
            " without them.",
        )
