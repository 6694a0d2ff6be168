"""Who bought in a window, kept in columns by person, and brought forward by who changed. Pure."""

from native.fold import Tally
from sync_server.history.arrays import np
from sync_server.journeys.rfm import Bought

TYPES = (np.int64, np.int32, np.int32, np.int64)


def bought_in(tally: Tally) -> Bought:
    """Who bought in a tally, by person."""
    columns = zip(tally.buyers(), TYPES, strict=True)
    return Bought(*(np.array(column, kind) for column, kind in columns))


def replaced(bought: Bought, away: Bought, given: Bought) -> Bought:
    """Those who bought, without the persons of `away`, with those of `given` (in place of them, or
    new): the same object where that makes no difference.
    """
    if all(map(np.array_equal, away.columns, given.columns)):
        return bought
    if np.array_equal(away.persons, given.persons):
        place = np.searchsorted(bought.persons, given.persons)
        columns = [np.array(column) for column in bought.columns]
        for column, new in zip(columns, given.columns, strict=True):
            column[place] = new
        return Bought(*columns)
    stays = ~np.isin(bought.persons, away.persons, assume_unique=True)
    both = [
        np.concatenate([old[stays], new])
        for old, new in zip(bought.columns, given.columns, strict=True)
    ]
    order = np.argsort(both[0], kind="stable")
    return Bought(*(column[order] for column in both))


def size_of(bought: Bought) -> int:
    """What it takes in memory, with what is worked out of it."""
    return sum(int(column.nbytes) for column in bought.columns) + len(bought.persons)
