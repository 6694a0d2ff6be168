"""What a history in memory is of: a view, and how it hangs together with files and database."""

from typing import NamedTuple

from sync_server.history.arranged import Zones
from sync_server.history.files import Manifest, is_counted_alike
from sync_server.history.view import View
from sync_server.journeys.marks import Newest
from sync_server.journeys.rows import Vocabulary
from sync_server.journeys.touchpoint import PURCHASE


class State(NamedTuple):
    """A history at one moment."""

    view: View
    vocabulary: Vocabulary
    """Of the view's codes. It grows while more is read; another object means other codes."""
    named: Vocabulary
    """The names at that moment, which stay as they are."""
    zone_of: dict[str, str]
    """By which the view's days were counted (`files.zones_of`)."""
    zones: Zones
    """The same, to count others by."""
    manifest: Manifest
    manifest_id: bytes
    era: str
    """Of the database's changes; "" before the first."""
    change: int
    """Every change up to it is in the view."""
    position: int
    """Every row of the log's events up to it is in the view, but for later changes."""

    def fits(self, newest: Newest, zone_of: dict[str, str]) -> bool:
        """Whether it is of this database, not ahead of it, and of its stores' days."""
        return (
            _is_same(self.era, newest.era, self.view.rows)
            and self.change <= newest.number
            and is_counted_alike(self.vocabulary.stores.names, self.zone_of, zone_of)
        )

    def before(self, change: int) -> Newest:
        """How far it is when every change before `change` is taken up, perhaps not all of that."""
        return Newest(self.era, max(self.change, change - 1), self.position)

    def goes_on_in(self, manifest: Manifest) -> bool:
        """Whether files of another process can go under the layers: its codes and days mean the
        same, and nothing that was read is missing.
        """
        ours = tuple(names.names for names in self.vocabulary.each())
        theirs = manifest.names()
        return (
            manifest.era == self.era
            and len(manifest.buckets) == len(self.manifest.buckets)
            and manifest.change >= self.manifest.change
            and all(mine[: len(other)] == other for mine, other in zip(ours, theirs, strict=True))
            and is_counted_alike(manifest.stores, manifest.zones, self.zone_of)
        )


def manifest_fits(manifest: Manifest, newest: Newest, zone_of: dict[str, str]) -> bool:
    """Whether files are of this database, not ahead of it, and of its stores' days."""
    return (
        _is_same(manifest.era, newest.era, manifest.rows)
        and manifest.change <= newest.number
        and is_counted_alike(manifest.stores, manifest.zones, zone_of)
    )


def frozen(vocabulary: Vocabulary, before: Vocabulary | None = None) -> Vocabulary:
    """The names as they are now; `before`, an earlier such copy, when there are no more since.

    The purchase is among them, so that nobody who uses them has to add it.
    """
    vocabulary.kinds.code(PURCHASE)
    if before is not None and _sizes(before) == _sizes(vocabulary):
        return before
    return vocabulary.copy()


def _sizes(vocabulary: Vocabulary) -> list[int]:
    return [len(names) for names in vocabulary.each()]


def _is_same(era: str, now: str, rows: int) -> bool:
    return era == now or (era == "" and rows == 0)
