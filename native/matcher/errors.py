"""What goes wrong with a member index: what happened, and what to do about it."""


class IndexRefused(ValueError):
    """The file cannot be used as a member index, or a page of it has rotted."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class EntryRefused(ValueError):
    """What should go into an index does not fit its schemes. Never names the identifier."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
