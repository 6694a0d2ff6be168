"""What files make up the columns, and what the codes in them mean. Pure.

The manifest is written last, in one go, and names every file. Files never change under their
name, so who has read a manifest can read its files; those it has put out of use are deleted with
the next change but one.
"""

import msgspec
from msgspec import Struct, field

from sync_server.errors import OfficeError
from sync_server.journeys.rows import NO_STORE

MANIFEST = "columns.json"
VERSION = 2
BUCKETS_MAX = 4_096
_MIX = 0x9E3779B97F4A7C15


class ColumnsError(OfficeError):
    """A place that holds no columns, or columns of another version, or changed meanwhile."""


class BucketFiles(Struct, omit_defaults=True):
    """The files of a bucket."""

    whole: str | None = None
    """Sorted and linked; its row groups hold whole persons."""
    parts: list[str] = field(default_factory=list[str])
    """What came since, in any order; a later part's rows take the place of an earlier one's."""
    rows: int = 0
    """Of all files; some may be the same touchpoint anew."""
    members: str | None = None
    """On which day each of the bucket's persons became a member."""

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*filter(None, (self.whole, self.members)), *self.parts]


class Manifest(Struct):
    """The columns at one moment. Names of kinds, channels and stores are only ever added."""

    version: int
    buckets: int
    kinds: list[str | None] = field(default_factory=list[str | None])
    channels: list[str | None] = field(default_factory=list[str | None])
    stores: list[str | None] = field(default_factory=lambda: list(NO_STORE))
    generation: int = 0
    """One more with every change."""
    cursor: str | None = None
    """How far the writer had got; the writer's own words."""
    recorded: tuple[int, int] | None = None
    """The first and last day with a sale, as day numbers, when the columns were exported."""
    files: dict[int, BucketFiles] = field(default_factory=dict[int, BucketFiles])
    """By bucket; one without files is left out."""
    unused: list[str] = field(default_factory=list[str])
    """Files of the manifest before that are of no use any more."""

    def of(self, bucket: int) -> BucketFiles:
        """The files of a bucket."""
        return self.files.get(bucket) or BucketFiles()

    @property
    def names(self) -> set[str]:
        """Every file in use."""
        return {name for files in self.files.values() for name in files.names}


def bucket_of(person: int, buckets: int) -> int:
    """The bucket of a person: the upper half of Fibonacci hashing, modulo `buckets`."""
    return ((person * _MIX & (2**64 - 1)) >> 32) % buckets


def new_manifest(buckets: int) -> Manifest:
    """Of columns without rows. Raises `ColumnsError`."""
    if not 1 <= buckets <= BUCKETS_MAX:
        raise ColumnsError(
            "columns", f"{buckets} buckets are not possible.", f"Take 1 to {BUCKETS_MAX}."
        )
    return Manifest(VERSION, buckets)


def read_manifest(place: str, text: bytes) -> Manifest:
    """The manifest in a file's bytes; `place` names it in errors. Raises `ColumnsError`."""
    try:
        version = msgspec.json.decode(text, type=_Versioned).version
        if version != VERSION:
            raise ColumnsError(
                "columns",
                f"{place} holds columns of version {version}, not {VERSION}.",
                "Write them anew with this version: klantreis-office journeys export-columns",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise not_columns(place, str(error)) from error
    if not 1 <= manifest.buckets <= BUCKETS_MAX:
        raise not_columns(place, f"{manifest.buckets} buckets")
    if any(not 0 <= bucket < manifest.buckets for bucket in manifest.files):
        raise not_columns(place, "a bucket that there is not")
    return manifest


def not_columns(place: str, why: str) -> ColumnsError:
    """The error for a place whose manifest is none."""
    return ColumnsError(
        "columns",
        f"{place} holds no columns: {why}",
        "Write them anew: klantreis-office journeys export-columns",
    )


class _Versioned(Struct):
    version: int
