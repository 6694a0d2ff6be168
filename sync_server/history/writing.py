"""Writes a history's files: all of them from the database, or those whose persons changed."""

import secrets
from collections.abc import Callable, Sequence

from sync_server.database import Database
from sync_server.history.arranged import Zones
from sync_server.history.building import ROWS_A_CHUNK, buckets_for, spread_out
from sync_server.history.files import VERSION, Bucket, Files, Manifest, bucket_name, zones_of
from sync_server.history.reading import reader
from sync_server.history.state import State
from sync_server.journeys.columns import read_stores
from sync_server.journeys.marks import Newest, read_newest
from sync_server.journeys.rows import Vocabulary

ID_BYTES = 8


def rebuilt(database: Database, files: Files, now_ms: int, hear: Callable[[float], None]) -> int:
    """Reads everybody and publishes it; how many rows. `hear` is told how much is done, 0 to 1.

    The caller holds `files.writing`. Who changes meanwhile is read again by their marks.
    """
    generation = files.next_generation()
    with database.read() as connection:
        newest, stores = read_newest(connection), read_stores(connection)
    vocabulary = Vocabulary()
    opened = reader(database, vocabulary, Zones(stores))
    about = opened.count()
    count = buckets_for(about)
    buckets = spread_out(opened, files, generation, count, ROWS_A_CHUNK, about, hear)
    manifest = _manifest(newest, generation, buckets, vocabulary, zones_of(stores), now_ms)
    files.publish(manifest)
    return manifest.rows


def compacted(files: Files, state: State, now_ms: int) -> tuple[Manifest, int]:
    """Writes the buckets whose persons are in layers: what is then to be published, and how many.

    The caller holds `files.writing`.
    """
    generation = files.next_generation()
    buckets = list(state.manifest.buckets)
    changed = state.view.changed_buckets() if len(state.view.overlaid) else []
    for number in changed:
        buckets[number] = files.write(bucket_name(generation, number), state.view.bucket(number))
    newest = Newest(state.era, state.change, state.position)
    manifest = _manifest(newest, generation, buckets, state.named, state.zone_of, now_ms)
    return manifest, len(changed)


def _manifest(
    newest: Newest,
    generation: int,
    buckets: Sequence[Bucket],
    names: Vocabulary,
    zones: dict[str, str],
    now_ms: int,
) -> Manifest:
    return Manifest(
        VERSION,
        secrets.token_hex(ID_BYTES),
        newest.era,
        newest.number,
        newest.position,
        generation,
        list(buckets),
        list(names.kinds.names),
        list(names.channels.names),
        list(names.stores.names),
        list(names.campaigns.names),
        list(names.tills.names),
        list(names.hows.names),
        zones,
        now_ms,
    )
