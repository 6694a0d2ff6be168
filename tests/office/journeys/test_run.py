"""All journeys at once: by one machine and by a real Spark cluster, to the last digit the same."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from sync_server.journeys import run as running
from sync_server.journeys.arrow import pq
from sync_server.journeys.compiled import in_words
from sync_server.journeys.model import Trade
from sync_server.journeys.model_file import load_models
from sync_server.journeys.places import Place
from sync_server.journeys.run import Plan, fold_bucket, fold_here, run
from sync_server.journeys.store import ColumnStore, create_store
from sync_server.journeys.tally import JourneyTally
from tests.office.journeys.test_store import (
    PLACEMENT,
    RECORDING,
    WINDOW,
    reference_tally,
    some_touchpoints,
)

CLUSTER_UP_S_MAX = 60


@pytest.fixture
def columns(tmp_path: Path) -> ColumnStore:
    store = create_store(tmp_path / "columns", 6)
    store.append(some_touchpoints(21, 600))
    store.compact()
    return store


def plan_of(store: ColumnStore, out: Path) -> Plan:
    model = load_models()["orientation-to-loyalty"]
    windows = (WINDOW,)
    began = RECORDING.began_day
    return Plan(store.place.url, str(out), store.manifest, model, Trade.GROCERY, windows, began)


def counted(plan: Plan, store: ColumnStore, engine: Any) -> JourneyTally:
    (tally,) = run(plan, engine, lambda done, of: None)
    return in_words(tally, PLACEMENT, store.vocabulary, in_full=True)


def here(plan: Plan, buckets: Sequence[int]) -> Any:
    return fold_here(plan, buckets, 2)


def files_of(out: Path) -> dict[str, bytes]:
    place = Place(out)
    return {name: place.read(name) for name in place.names()}


def table_of(out: Path, what: str) -> list[dict[str, Any]]:
    return pq.read_table(out / what).to_pylist()


def test_the_counts_are_those_of_the_columns(columns: ColumnStore, tmp_path: Path) -> None:
    found = counted(plan_of(columns, tmp_path / "out"), columns, here)
    assert found == columns.tally(
        PLACEMENT, WINDOW, type(RECORDING)(RECORDING.began_day), in_full=True
    )


def test_trips_and_ways_are_what_was_counted(columns: ColumnStore, tmp_path: Path) -> None:
    found = counted(plan_of(columns, tmp_path / "out"), columns, here)
    trips, ways = table_of(tmp_path / "out", "trips"), table_of(tmp_path / "out", "ways")
    assert len(trips) == found.trips
    assert Counter(trip["outcome"] for trip in trips) == {
        str(outcome): count for outcome, count in found.outcomes.items()
    }
    assert sum(trip["caused_by"] is not None for trip in trips) == found.loops
    phases = [phase.id for phase in PLACEMENT.model.phases]
    named = Counter((min(way["step"], 8), way["origin"], way["target"]) for way in ways)
    expected: Counter[tuple[int, str, str]] = Counter()
    for (step, origin, target), count in found.transitions.items():
        ends = (name if isinstance(name, str) else phases[name] for name in (origin, target))
        expected[(step, *ends)] += count  # pyright: ignore[reportArgumentType]
    assert named == expected


def test_a_run_that_broke_off_goes_on_where_it_was(
    columns: ColumnStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(columns, tmp_path / "out")
    for bucket in (0, 3):
        fold_bucket(plan, bucket)
    folded: list[int] = []

    def noting(plan: Plan, bucket: int) -> Any:
        folded.append(bucket)
        return fold_bucket(plan, bucket)

    monkeypatch.setattr(running, "fold_bucket", noting)
    assert counted(plan, columns, here).trips > 0
    assert sorted(folded) == [1, 2, 4, 5]
    counted(plan, columns, here)
    assert sorted(folded) == [1, 2, 4, 5]


def test_columns_that_changed_are_folded_anew(columns: ColumnStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counted(plan_of(columns, out), columns, here)
    columns.append(some_touchpoints(21, 640)[600:])
    columns.compact()
    found = counted(plan_of(columns, out), columns, here)
    expected = columns.tally(PLACEMENT, WINDOW, type(RECORDING)(RECORDING.began_day), in_full=True)
    assert found == expected
    assert reference_tally(some_touchpoints(21, 640)).trips == found.trips


# ---------------------------------------------------------------------- Spark


class Cluster:
    """A master and two workers on loopback."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._home = home
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.master = f"spark://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_DAEMON_MEMORY": "256m",
        }
        where = ("--host", "127.0.0.1", "--webui-port", "0")
        role = "org.apache.spark.deploy"
        self._log = folder / "cluster.log"
        master = self._start(f"{role}.master.Master", *where, "--port", str(self.port))
        self._wait("I have been elected leader", 1)
        capacity = ("--cores", "1", "--memory", "512m")
        self.workers = [
            self._start(
                f"{role}.worker.Worker",
                *(*where, *capacity, "--work-dir", str(folder / f"work-{n}"), self.master),
            )
            for n in range(2)
        ]
        self._processes = [master, *self.workers]
        self._wait("Registering worker", 2)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._home / "bin/spark-class"), *command],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def _wait(self, words: str, times: int) -> None:
        until = monotonic() + CLUSTER_UP_S_MAX
        while self._log.read_text().count(words) < times:
            assert monotonic() < until, self._log.read_text()
            sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    pyspark: Any
    if os.environ.get("KLANTREIS_REQUIRE_SPARK"):
        pyspark = import_module("pyspark")
    else:
        pyspark = pytest.importorskip(
            "pyspark", reason="pip install 'klantreis[spark]', and Java 17"
        )
    cluster = Cluster(tmp_path_factory.mktemp("spark"), Path(pyspark.__file__).parent)
    yield cluster
    cluster.stop()


SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "512m",
    "spark.driver.memory": "512m",
}


def test_spark_gives_what_one_machine_gives_to_the_last_byte(
    cluster: Cluster, columns: ColumnStore, tmp_path: Path
) -> None:
    from sync_server.journeys.spark import fold_by_spark

    local = counted(plan_of(columns, tmp_path / "local"), columns, here)
    by_spark = fold_by_spark(cluster.master, SETTINGS)
    assert counted(plan_of(columns, tmp_path / "spark"), columns, by_spark) == local
    left, right = files_of(tmp_path / "local"), files_of(tmp_path / "spark")
    assert left == right
    assert len(left) == 18


def test_a_worker_that_is_killed_on_the_way_changes_nothing(
    cluster: Cluster, columns: ColumnStore, tmp_path: Path
) -> None:
    from sync_server.journeys.spark import fold_by_spark

    local = counted(plan_of(columns, tmp_path / "local"), columns, here)
    by_spark = fold_by_spark(cluster.master, SETTINGS)

    def engine(plan: Plan, buckets: Sequence[int]) -> Any:
        import threading

        def kill() -> None:
            until = monotonic() + CLUSTER_UP_S_MAX
            while not Place(tmp_path / "spark").names("tallies") and monotonic() < until:
                sleep(0.01)
            cluster.workers[0].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = list(by_spark(plan, buckets))
        killer.join()
        return found

    assert counted(plan_of(columns, tmp_path / "spark"), columns, engine) == local
    assert cluster.workers[0].wait() == -signal.SIGKILL
    assert files_of(tmp_path / "local") == files_of(tmp_path / "spark")
