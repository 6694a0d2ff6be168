"""What goes wrong with a fold: what happened, and what to do about it."""


class FoldRefused(ValueError):
    """The columns cannot be folded: codes nobody knows, rows out of order, or too many."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
