"""The same of every kind of place: folders here and an object store."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from sync_server.journeys.places import Place, PlaceError
from sync_server.journeys.store import create_store, open_store
from tests.office.journeys.test_store import (
    PLACEMENT,
    RECORDING,
    WINDOW,
    reference_tally,
    some_touchpoints,
)

Make = Callable[[], Place]


@pytest.fixture(params=["path", "file", "s3"])
def make(request: pytest.FixtureRequest, tmp_path: Path, object_store: str) -> Make:
    """Makes an empty place of each kind."""

    def place() -> Place:
        name = uuid4().hex
        if request.param == "path":
            return Place(tmp_path / name)
        if request.param == "file":
            return Place(f"file://{tmp_path}/{name}")
        return Place(object_store.format(folder=name))

    return place


def test_what_was_written_is_read(make: Make) -> None:
    place = make()
    place.write("a/b.txt", b"one")
    place.write("a/b.txt", b"another")
    assert place.read("a/b.txt") == b"another"
    assert place.has("a/b.txt")


def test_the_same_url_is_the_same_place(make: Make) -> None:
    place = make()
    place.write("name", b"here")
    assert Place(place.url).read("name") == b"here"


def test_files_are_listed_by_name_whatever_folder_they_are_in(make: Make) -> None:
    place = make()
    for name in ("b/2", "a/1", "top"):
        place.write(name, b"")
    assert place.names() == ["a/1", "b/2", "top"]
    assert place.names("b") == ["b/2"]
    assert place.names("none") == []


def test_a_file_that_is_not_there_is_told_as_such(make: Make) -> None:
    place = make()
    assert not place.has("nothing")
    with pytest.raises(FileNotFoundError):
        place.read("nothing")
    place.delete("nothing")


def test_a_file_whose_writing_broke_off_is_as_it_was(make: Make) -> None:
    place = make()
    place.write("file", b"before")

    def write(name: str) -> None:
        with place.create(name) as stream:
            stream.write(b"half of")
            raise RuntimeError("on the way")

    for name in ("file", "other"):
        with pytest.raises(RuntimeError):
            write(name)
    assert place.read("file") == b"before"
    assert place.names() == ["file"]


def test_a_file_that_was_deleted_is_gone(make: Make) -> None:
    place = make()
    place.write("a/file", b"x")
    place.delete("a/file")
    assert place.names() == []


def test_columns_are_kept_and_folded_in_it(make: Make) -> None:
    place = make()
    touchpoints = some_touchpoints(11, 120)
    store = create_store(place, 3)
    store.append(touchpoints[:70])
    store.compact()
    store.append(touchpoints[70:], cursor="all")
    again = open_store(place.url)
    assert again.manifest.cursor == "all"
    assert again.tally(PLACEMENT, WINDOW, RECORDING, in_full=True) == reference_tally(touchpoints)
    again.compact()
    again.append([])  # the files before the compaction go with the change after it
    assert open_store(place.url).tally(
        PLACEMENT, WINDOW, RECORDING, in_full=True
    ) == reference_tally(touchpoints)
    assert set(place.names()) == {*again.manifest.names, "columns.json"}


def test_files_here_are_for_this_user_only(tmp_path: Path) -> None:
    place = Place(tmp_path / "columns")
    place.make()
    place.write("deep/file", b"x")
    for path in (tmp_path / "columns", tmp_path / "columns/deep", tmp_path / "columns/deep/file"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077


@pytest.mark.parametrize("url", ["gopher://somewhere/x", "s3://", "s3://bucket/x?colour=red"])
def test_a_url_that_is_no_place_is_told(url: str) -> None:
    with pytest.raises(PlaceError) as caught:
        Place(url)
    assert url.split("?", maxsplit=1)[0] in caught.value.message
    assert caught.value.fix


def test_a_store_that_nobody_has_is_told(object_store: str) -> None:
    place = Place(object_store.replace("bucket/", "nobodys/").format(folder="x"))
    with pytest.raises((PlaceError, FileNotFoundError)):
        place.read("columns.json")
    with pytest.raises(PlaceError) as caught:
        place.write("columns.json", b"")
    assert "nobodys" in caught.value.message
    assert "region" not in caught.value.message.split(" could not be", maxsplit=1)[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PlaceError):
        Place(tmp_path / "columns").make()
