"""All touchpoints at one moment: buckets on disk, and over them what changed since. Pure.

A view never changes; a change makes another one that shares what stayed. What changed lies in
layers, each with whole persons; of a person in several the newest counts.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from native.fold import Tally, add_to
from sync_server.history.arrays import Array, np
from sync_server.history.part import Part, bucket_numbers, joined
from sync_server.journeys.compiled import merged

LAYER_RATIO = 2
"""A layer is joined to the one below that is not this many times larger."""
ROWS_A_THREAD_MIN = 200_000
NOBODY: Array = np.empty(0, np.int64)

Parts = Sequence[tuple[Part, Array]]
"""Parts, and of each the persons, ascending, whose rows there count no more."""
Result = TypeVar("Result")


class RunAll(Protocol):
    """Runs what it is given, as many at once as it sees fit, and returns what they do."""

    def __call__(self, works: Sequence[Callable[[], Result]], /) -> list[Result]: ...


class Layer(NamedTuple):
    """Persons, ascending, whose rows are these now; without rows they have no touchpoints any more.

    `changes` are the numbers of their last changes.
    """

    persons: Array
    changes: Array
    part: Part

    def without(self, persons: Array) -> "Layer":
        """The layer of the others."""
        stays = ~np.isin(self.persons, persons, assume_unique=True)
        return Layer(self.persons[stays], self.changes[stays], self.part.without(persons))

    def since(self, change: int) -> "Layer":
        """The layer of those who changed after `change`."""
        return self.without(self.persons[self.changes <= change])


class View:
    """The touchpoints of everybody: `base` are the buckets, `layers` the newest last."""

    def __init__(self, base: Sequence[Part], layers: Sequence[Layer] = ()) -> None:
        self.base = tuple(base)
        self.layers = tuple(layers)
        self._left_out: list[Array] = []
        seen = NOBODY
        for layer in reversed(self.layers):
            self._left_out.append(np.intersect1d(layer.persons, seen, assume_unique=True))
            seen = np.union1d(seen, layer.persons)
        self._left_out.reverse()
        self.overlaid: Array = seen
        """Everybody in a layer."""

    @property
    def overlay_rows(self) -> int:
        """Rows in layers."""
        return sum(len(layer.part) for layer in self.layers)

    @property
    def rows(self) -> int:
        """Rows on disk and in layers; some may be out of use."""
        return sum(map(len, self.base)) + self.overlay_rows

    def of(self, persons: Array) -> Part:
        """The rows of `persons`, who are ascending."""
        found: list[Part] = []
        wanted = persons
        for layer in reversed(self.layers):
            here = np.intersect1d(wanted, layer.persons, assume_unique=True)
            if len(here):
                found.append(layer.part.of(here))
                wanted = np.setdiff1d(wanted, here, assume_unique=True)
        if len(wanted) and self.base:
            number = bucket_numbers(wanted, len(self.base))
            found += [
                self.base[bucket].of(wanted[number == bucket])
                for bucket in np.unique(number).tolist()
            ]
        return joined(found)

    def with_layer(self, layer: Layer) -> "View":
        """The view after the change that `layer` tells of."""
        layers = [*self.layers, layer]
        while len(layers) > 1 and len(layers[-2].part) <= LAYER_RATIO * len(layers[-1].part):
            above, below = layers.pop(), layers.pop()
            below = below.without(above.persons)
            persons = np.concatenate([below.persons, above.persons])
            order = np.argsort(persons)
            changes = np.concatenate([below.changes, above.changes])[order]
            layers.append(Layer(persons[order], changes, joined([below.part, above.part])))
        return View(self.base, layers)

    def over(self, base: Sequence[Part], change: int) -> "View":
        """The view over buckets that have every change up to `change`."""
        layers = [layer.since(change) for layer in self.layers]
        return View(base, [layer for layer in layers if len(layer.persons)])

    def gone(self) -> Array:
        """Persons of layers who have no touchpoints any more, and have rows on disk."""
        empty = np.setdiff1d(self.overlaid, self._present(), assume_unique=True)
        if not len(empty) or not self.base:
            return NOBODY
        number = bucket_numbers(empty, len(self.base))
        found = [
            np.intersect1d(empty[number == bucket], self.base[bucket].persons, assume_unique=True)
            for bucket in np.unique(number).tolist()
        ]
        return np.concatenate(found) if found else NOBODY

    def bucket(self, number: int) -> Part:
        """What a bucket's rows are now."""
        here = self.overlaid[bucket_numbers(self.overlaid, len(self.base)) == number]
        if not len(here):
            return self.base[number]
        return joined([self.base[number].without(here), self.of(here)])

    def changed_buckets(self) -> list[int]:
        """The buckets whose persons are in layers."""
        return np.unique(bucket_numbers(self.overlaid, len(self.base))).tolist()

    def parts(self) -> list[tuple[Part, Array]]:
        """All rows: parts, and of each the persons, ascending, whose rows there count no more."""
        found: list[tuple[Part, Array]] = [(bucket, self.overlaid) for bucket in self.base]
        found += [
            (layer.part, left_out)
            for layer, left_out in zip(self.layers, self._left_out, strict=True)
        ]
        return [(part, without) for part, without in found if len(part)]

    def shares(self) -> list[list[tuple[Part, Array]]]:
        """The same in about equal lots, as many as threads may be worth it."""
        return _shares(self.parts())

    def tallies(
        self, make: Callable[[], list[Tally]], run_all: RunAll, *, only: Any = None
    ) -> list[Tally]:
        """What `make` made for each window, with everybody's trips counted; or those of the
        persons `only`, who ascend.
        """

        def share(some: Sequence[tuple[Part, Array]]) -> list[Tally]:
            tallies = make()
            for part, without in some:
                persons, days = part.enrolled
                add_to(tallies, part.rows, 0, -1, persons, days, without=without, only=only)
            return tallies

        done = run_all([lambda some=some: share(some) for some in self.shares()])
        return [merged(of_window) for of_window in zip(*done, strict=True)] if done else make()

    def _present(self) -> Array:
        present = NOBODY
        for layer, left_out in zip(self.layers, self._left_out, strict=True):
            here = np.setdiff1d(layer.part.persons, left_out, assume_unique=True)
            present = np.union1d(present, here)
        return present


def _shares(parts: Sequence[tuple[Part, Array]]) -> list[list[tuple[Part, Array]]]:
    """The parts in as many about equal shares as threads may be worth it, largest first."""
    total = sum(len(part) for part, _ in parts)
    count = max(1, min(16, total // ROWS_A_THREAD_MIN))
    shares: list[list[tuple[Part, Array]]] = [[] for _ in range(count)]
    sizes = [0] * count
    for part in sorted(parts, key=lambda one: -len(one[0])):
        smallest = sizes.index(min(sizes))
        shares[smallest].append(part)
        sizes[smallest] += len(part[0])
    return [share for share in shares if share]
