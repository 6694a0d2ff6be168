"""How often each of many numbers occurs. Pure."""

from sync_server.history.arrays import Array, np

COUNTED_MAX = 1 << 22
"""Numbers up to which it is quicker to count them all than to put them in order, ..."""
WIDTH_MAX = 16
"""... where there are not more than so many numbers for each that is counted."""


def counted(values: Array) -> list[tuple[int, int]]:
    """Number and how often, ascending, as pairs."""
    most = values.max(initial=0)
    is_dense = most < COUNTED_MAX and most <= WIDTH_MAX * len(values)
    if is_dense and values.min(initial=0) >= 0:
        every = np.bincount(values)
        found = np.flatnonzero(every)
        counts = every[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
