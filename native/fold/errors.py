"""What goes wrong with a fold: what happened, and what to do about it."""

_ANEW = "Write the columns anew from the database."
_FAULTS = {
    2: ("A touchpoint's kind is not among the kinds.", _ANEW),
    3: ("A touchpoint's channel is not among the channels.", _ANEW),
    4: ("A touchpoint's store is not among the stores.", _ANEW),
    5: (
        "The touchpoints are not sorted by person and time.",
        "Sort them, or write the columns anew from the database.",
    ),
    6: (
        "There are more touchpoints than one tally can count.",
        "Fold fewer buckets into one tally, and merge the tallies.",
    ),
    7: (
        "What is to be taken away was never counted here.",
        "Take away only what was added, or count anew.",
    ),
    8: ("The bytes are no tally.", "Make the tally anew."),
    10: (
        "The journey model's rules tell too many cases apart.",
        "Use fewer thresholds, and none above two million.",
    ),
    9: ("The persons chosen are not in ascending order.", "Sort them, and name each once."),
}
_NO_MEMORY = 1


class FoldRefused(ValueError):
    """The columns cannot be folded: codes nobody knows, rows out of order, or too many."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def refusal(fault: int) -> Exception:
    """What to raise for a fault of the headers (`enum fault` in fold.h)."""
    if fault == _NO_MEMORY:
        return MemoryError("there is not enough memory for the fold")
    return FoldRefused(*_FAULTS[fault])
