"""The journey map as a page."""

import re
from typing import TYPE_CHECKING

import pytest

from sync_server.auth.users import Role
from tests.office.dashboard.test_pages import page, words

if TYPE_CHECKING:
    from tests.office.conftest import Desk
    from tests.office.dashboard.conftest import Week

WEEK = "first=2017-05-15&last=2017-05-21"


def cells(html: str, head: str) -> list[str]:
    """The text of a row's cells, one for each phase."""
    (row,) = re.findall(rf'<th scope="row">{re.escape(head)}</th>(.*?)</tr>', html, re.DOTALL)
    return [words(cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]


def test_phases_are_columns_and_what_happened_in_them_rows(opinions: "Week") -> None:
    html = page(opinions.desk, f"/map?{WEEK}")
    assert "Orientation Consideration Purchase Service Loyalty" in words(html)
    assert cells(html, "The customer asks")[2] == "“How soon am I done?”"
    looking, choosing, buying, service, loyalty = cells(html, "Touchpoints: web")
    assert looking == "website visited 12"
    assert (choosing, buying, service, loyalty) == ("", "", "", "")
    assert cells(html, "Touchpoints: phone")[3] == "complaint 1"
    assert cells(html, "Touchpoints: social")[4] == "share 1"
    assert cells(html, "Where they leave")[0].startswith(
        "Trips 12 persons who are in it now 8 left without buying"
    )
    assert 'aria-label="Mean rating by phase: Purchase: ' in html
    assert "Returns" in cells(html, "KPIs")[3]


def test_what_is_lost_is_told_by_phase_and_store_and_a_stores_name_is_no_markup(
    opinions: "Week",
) -> None:
    html = page(opinions.desk, "/map?first=2017-05-15&last=2017-07-31")
    assert "<script>alert" not in html
    looking, choosing, *_ = cells(html, "What is to be gained")
    assert "8 trips ended here, worth" in looking
    store = "&lt;script&gt;alert(1)&lt;/script&gt; Kade"
    assert choosing.startswith(f"{store}: 4 trips ended here, worth ")
    assert "customers stayed away, worth" in cells(html, "What is to be gained")[2]
    assert cells(html, "Where they leave")[1] == (
        "Trips 4 persons who are in it now 0 left without buying 4 (100.0%)"
    )


def test_the_period_before_stands_beside_it(opinions: "Week") -> None:
    html = page(opinions.desk, "/map?first=2017-05-18&last=2017-05-20")
    assert "before: " in cells(html, "KPIs")[2]
    assert re.search(r"complaint 1 before: 0", cells(html, "Touchpoints: phone")[3])
    assert 'class="before"' in html
    assert "Grey: the period before." in html


@pytest.mark.parametrize("lang", ["en", "nl"])
def test_an_empty_map_has_the_models_texts_and_room_to_write(desk: "Desk", lang: str) -> None:
    html = page(desk, f"/map?blank=1&model=kijk-kies-koop-krijg-koester&lang={lang}")
    assert html.count('class="blank"') == 4
    assert html.count('<th scope="col"') == 5
    assert ("Look" if lang == "en" else "Kijk") in words(html)
    assert "No sale has reached" not in html


def test_an_office_without_sales_says_what_to_do_and_shows_no_map(desk: "Desk") -> None:
    html = page(desk, "/map")
    assert "No sale has reached the office yet." in words(html)
    assert "<table" not in html


def test_a_map_that_cannot_be_is_told_on_the_page(week: "Week") -> None:
    assert "There is no such journey model" in words(page(week.desk, "/map?model=none", 404))
    assert "There is no such segment" in words(page(week.desk, "/map?segment=none", 404))


def test_the_map_is_for_head_office_only(desk: "Desk") -> None:
    assert desk.get("/map", Role.ADMIN).status_code == 403
    assert desk.get("/map", Role.INTEGRATION).status_code == 403
    assert desk.get("/map", None).status_code == 401
