"""How often each of many numbers occurs. Pure."""

from sync_server.history.arrays import Array, np

COUNTED_MAX = 1 << 22
"""Numbers up to which it is quicker to count them all than to put them in order, ..."""
WIDTH_MAX = 16
"""... where there are not more than so many numbers for each that is counted."""


def counted(values: Array) -> list[tuple[int, int]]:
    """Number and how often, ascending, as pairs."""
    if _is_dense(values):
        every = np.bincount(values)
        found = np.flatnonzero(every)
        counts = every[found]
    else:
        found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def placed(values: Array) -> tuple[Array, Array]:
    """The numbers that occur, ascending, and of each value which of them it is."""
    if not _is_dense(values):
        return np.unique(values, return_inverse=True)
    occurs = np.bincount(values) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[values]


def _is_dense(values: Array) -> bool:
    most = values.max(initial=0)
    within = most < COUNTED_MAX and most <= WIDTH_MAX * len(values)
    return bool(within and values.min(initial=0) >= 0)
