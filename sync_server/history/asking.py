"""A summary's question to the history: the journeys of some windows, counted."""

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b

import msgspec

from native.fold import Tally
from sync_server.history.history import History, Snapshot
from sync_server.history.standing import Asked, Whose, unnamed
from sync_server.journeys.compiled import new_tally, rules_for
from sync_server.journeys.model import Placement
from sync_server.journeys.persons import Persons
from sync_server.journeys.rfm import Bought
from sync_server.journeys.tally import Window
from sync_server.journeys.trips import Recording


def count_journeys(
    history: History,
    snapshot: Snapshot,
    placement: Placement,
    trade: str,
    windows: Sequence[Window],
    buyers_in: Sequence[Window],
    began_day: int,
    only: Persons | None = None,
) -> tuple[list[Tally], list[Bought]]:
    """The counts of all journeys in each window, and who bought in each of `buyers_in`.

    Recording began on `began_day`.

    With `only`, those of some persons; the windows have them, too.
    """
    rules = rules_for(placement, snapshot.vocabulary)
    recording = Recording(began_day)
    whole = [*((window, False) for window in windows), *((window, True) for window in buyers_in)]
    makes = [
        partial(new_tally, rules, snapshot.vocabulary, window, recording, only_buyers=only_buyers)
        for window, only_buyers in whole
    ]
    model = blake2b(msgspec.json.encode(placement.model), digest_size=16).digest()
    told = history.tallies(
        snapshot,
        [
            Asked(
                (model, trade, began_day, unnamed(window), only_buyers, only is not None),
                make,
                only_buyers,
                Whose(only),
            )
            for (window, only_buyers), make in zip(whole, makes, strict=True)
        ],
    )
    return told[: len(windows)], told[len(windows) :]
