"""The journey map as SVG and PDF: everything on it, each text within its column."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.dashboard.journey_map import JourneyMap, Line, MapPhase, MapRow
from sync_server.dashboard.map_drawing import (
    HEADS_WIDTH,
    MARGIN,
    WIDTH,
    Drawing,
    Text,
    draw_map,
)
from sync_server.dashboard.map_pdf import in_font, map_pdf, measure
from sync_server.dashboard.map_svg import map_svg
from sync_server.journeys.model import Role

if TYPE_CHECKING:
    from tests.office.conftest import Desk
    from tests.office.dashboard.conftest import Week

WEEK = "first=2017-05-15&last=2017-05-21"
SVG = "{http://www.w3.org/2000/svg}"
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
lines = st.builds(Line, texts, texts, texts)


def drawing_of(cells: list[tuple[Line, ...]], head: str = "head") -> Drawing:
    phases = tuple(MapPhase(f"phase {n}", Role.BUYING) for n in range(len(cells)))
    found = JourneyMap(phases, (MapRow(head, tuple(cells)),), None, ())
    return draw_map(found, "title", "scope", "curve", measure)


def texts_of(drawing: Drawing) -> Iterator[Text]:
    return (item for item in drawing.items if isinstance(item, Text))


@settings(deadline=None)
@given(st.lists(st.lists(lines, max_size=4).map(tuple), min_size=1, max_size=8), texts)
def test_no_text_leaves_its_column_or_the_sheet(cells: list[tuple[Line, ...]], head: str) -> None:
    drawing = drawing_of(cells, head)
    width = (WIDTH - 2 * MARGIN - HEADS_WIDTH) / len(cells)
    for text in texts_of(drawing):
        if text.text in ("title", "scope"):
            continue
        place = (text.x - MARGIN - HEADS_WIDTH) // width
        end = MARGIN + HEADS_WIDTH + (place + 1) * width if place >= 0 else MARGIN + HEADS_WIDTH
        assert text.x + measure(text.text, text.size, text.is_bold) <= end + 1
        assert 0 < text.y < drawing.height


@settings(deadline=None)
@given(st.lists(st.lists(lines, max_size=4).map(tuple), min_size=1, max_size=4))
def test_every_word_is_on_the_sheet_and_in_order(cells: list[tuple[Line, ...]]) -> None:
    drawing = drawing_of(cells)
    told = "".join(text.text for text in texts_of(drawing)).replace(" ", "")
    for cell in cells:
        for line in cell:
            assert "".join(line.what.split()) in told
            assert "".join(line.value.split()) in told


@settings(deadline=None, max_examples=50)
@given(texts)
def test_whatever_a_store_is_called_the_files_can_be_read(name: str) -> None:
    drawing = drawing_of([(Line(name, name, name),)], name)
    ElementTree.fromstring(map_svg(drawing))
    assert map_pdf(drawing).startswith(b"%PDF-")


def test_the_svg_has_what_the_page_has(opinions: "Week") -> None:
    answer = opinions.desk.get(f"/map.svg?{WEEK}&lang=en")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    root = ElementTree.fromstring(answer.content)
    told = [element.text for element in root.iter(f"{SVG}text")]
    for label in ("Orientation", "Consideration", "Purchase", "Service", "Loyalty"):
        assert label in told
    assert "website visited" in told
    assert len(list(root.iter(f"{SVG}circle"))) == 1  # all rated after buying
    assert b"<script" not in answer.content


def test_the_pdf_is_one_page_and_the_same_each_time(opinions: "Week") -> None:
    answer = opinions.desk.get(f"/map.pdf?{WEEK}")
    assert answer.headers["content-type"] == "application/pdf"
    assert len(re.findall(rb"/Type\s*/Page\b", answer.content)) == 1
    assert answer.content == opinions.desk.get(f"/map.pdf?{WEEK}").content


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_without_sales_the_file_is_the_template(desk: "Desk", ending: str) -> None:
    blank = desk.get(f"/map.{ending}?blank=1")
    assert blank.status_code == 200
    assert desk.get(f"/map.{ending}").content == blank.content


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_a_map_that_cannot_be_is_refused(week: "Week", ending: str) -> None:
    answer = week.desk.get(f"/map.{ending}?model=none")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


def test_the_page_leads_to_its_files(week: "Week") -> None:
    html = week.desk.get(f"/map?{WEEK}").text
    for ending in ("svg", "pdf"):
        (url,) = re.findall(rf'href="(/map\.{ending}\?[^"]*)"', html)
        assert week.desk.get(url.replace("&amp;", "&")).status_code == 200


def test_letters_that_the_fonts_lack_are_written_without_their_accents() -> None:
    assert in_font("Café Łódź −2 … 店") == "Café ?ódz -2 … ?"
