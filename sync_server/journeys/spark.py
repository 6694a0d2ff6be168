"""The engine of many machines: Spark gets the numbers of buckets, each task folds one.

No row passes through Spark: a task opens its bucket's files with pyarrow, runs the same compiled
fold as everywhere, writes its trips, and returns counts. klantreis must be installed for the
Python of every worker (`PYSPARK_PYTHON`): compiled modules cannot be sent as a zip.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import msgspec

from sync_server.errors import OfficeError
from sync_server.journeys.run import Done, Plan

NOT_THERE = "KLANTREIS_IS_NOT_THERE"
_INSTALL = (
    "Install klantreis[office,spark] of this version for the Python of every worker, and name that"
    " Python in PYSPARK_PYTHON."
)


class SparkError(OfficeError):
    """Spark is not here, cannot be reached, or a worker could not do its part."""


def fold_by_spark(
    master: str, settings: dict[str, str] | None = None
) -> Callable[[Plan, Sequence[int]], Iterable[Done]]:
    """The engine that folds at a Spark master. Raises `SparkError`."""

    def engine(plan: Plan, buckets: Sequence[int]) -> Iterable[Done]:
        session = _session(master, settings or {})
        try:
            data = msgspec.json.encode(plan)
            tasks = session.sparkContext.parallelize(list(buckets), len(buckets))
            found: list[bytes] = tasks.map(_task(data)).collect()
        except Exception as error:
            raise _explained(error) from error
        finally:
            session.stop()
        for done in found:
            yield msgspec.msgpack.decode(done, type=Done)

    return engine


def _task(data: bytes) -> Callable[[int], bytes]:
    # Sent by value, so that a worker without klantreis can say so.
    def task(bucket: int) -> bytes:
        try:
            import msgspec

            from sync_server.journeys.run import Plan, fold_bucket
        except ImportError as error:
            import socket

            told = f"KLANTREIS_IS_NOT_THERE on {socket.gethostname()}: {error}"
            raise RuntimeError(told) from error
        return msgspec.msgpack.encode(fold_bucket(msgspec.json.decode(data, type=Plan), bucket))

    return task


def _session(master: str, settings: dict[str, str]) -> Any:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        sql = import_module("pyspark.sql")
    except ModuleNotFoundError as error:
        raise SparkError(
            "spark", "PySpark is not installed here.", "Install it: pip install 'klantreis[spark]'"
        ) from error
    builder = sql.SparkSession.builder.master(master).appName("klantreis journeys")
    builder = builder.config("spark.ui.enabled", "false")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise SparkError(
            "spark",
            f"Spark at {master} could not be reached: {_first_line(error)}",
            "See that the master runs, that Java 17 is here, and that --master is its URL.",
        ) from error


def _explained(error: Exception) -> SparkError:
    text = str(error)
    if NOT_THERE in text:
        line = next(line for line in text.splitlines() if NOT_THERE in line)
        where = line.split(NOT_THERE, 1)[1].strip()
        return SparkError("spark_worker", f"A worker cannot import klantreis, {where}", _INSTALL)
    return SparkError(
        "spark_failed",
        f"Spark gave up: {_first_line(error)}",
        "What is written so far is kept; run the same command again once the cluster is well.",
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
