"""How often each of many numbers occurs. Pure."""

from sync_server.history.arrays import Array, np

COUNTED_MAX = 1 << 22
"""Numbers up to which it is quicker to count them all than to put them in order."""


def counted(values: Array) -> list[tuple[int, int]]:
    """Number and how often, ascending, as pairs."""
    if values.min(initial=0) >= 0 and values.max(initial=0) < COUNTED_MAX:
        every = np.bincount(values)
        found = np.flatnonzero(every)
        counts = every[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
