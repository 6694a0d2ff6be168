"""From the database to buckets, in bounded memory: persons in order, a chunk of rows at a time."""

from collections.abc import Callable

import numpy as np

from sync_server.history.files import Bucket, Files, Spill, bucket_name
from sync_server.history.part import bucket_numbers
from sync_server.history.reading import Reader

ROWS_A_CHUNK = 250_000
ROWS_A_BUCKET = 150_000
BUCKETS_MAX = 1_024
PERSON_MAX = 2**63 - 1


def buckets_for(rows: int) -> int:
    """Into how many buckets so many rows go: a power of two, with room for as many again."""
    buckets = 1
    while buckets * ROWS_A_BUCKET < rows and buckets < BUCKETS_MAX:
        buckets *= 2
    return buckets


def spread_out(
    opened: Reader,
    files: Files,
    generation: int,
    buckets: int,
    rows_a_chunk: int,
    rows: int,
    hear: Callable[[float], None],
) -> list[Bucket]:
    """Writes everybody's rows; about `rows` of them. `hear` is told how much is done, 0 to 1."""
    spills: dict[int, Spill] = {}
    above, done = -1, 0
    while True:
        end = opened.end_of(above, rows_a_chunk)
        part = opened.between(above, PERSON_MAX if end is None else end)
        number = bucket_numbers(part.person, buckets)
        for bucket in np.unique(number).tolist():
            # Persons come in ascending order, so what is added to a bucket stays sorted.
            here = part.take(np.flatnonzero(number == bucket))
            if bucket in spills:
                spills[bucket].add(here)
            else:
                spills[bucket] = files.spill(bucket_name(generation, bucket), here)
        done += len(part)
        hear(min(1.0, done / max(rows, 1)) * 0.9)
        if end is None:
            break
        above = end
    written: list[Bucket] = []
    for bucket in range(buckets):
        name = bucket_name(generation, bucket)
        spill = spills.pop(bucket, None)
        written.append(Bucket(name, 0, 0) if spill is None else files.write(name, spill.read()))
        hear(0.9 + 0.1 * (bucket + 1) / buckets)
    return written
