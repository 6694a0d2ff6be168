"""The pages in a real browser, served by the real server: nothing leaves this machine."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import insert
from sqlalchemy.engine import URL

from sync_server.office import open_office
from sync_server.settings import Settings
from sync_server.tables import Product
from tests.office.conftest import Desk, SystemClock
from tests.office.dashboard.conftest import Week, opined, rung_up

if TYPE_CHECKING:
    from tests.office.conftest import MakeSale

START_WAIT_S_MAX = 30.0
DRAWN_WAIT_MS_MAX = 20_000
POLL_S = 0.05
PHONE_PX = 360
A4_LYING_POINTS = (842, 595)
PRODUCTS = [{"code": "4006381333931", "name": "Milk", "price_cents": 1, "department": "Dairy <b>"}]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
ROOT = Path(__file__).resolve().parents[3]
SERVE = "import sys; from sync_server.cli import main; sys.exit(main())"
LOOPBACK = "127.0.0.1"


class Visit(NamedTuple):
    """A browser's tab, and what it asked for and complained about."""

    page: Page
    base: str
    requests: list[str]
    complaints: list[str]

    def open(self, target: str) -> None:
        """Opens a page and waits until its pictures are drawn."""
        self.page.goto(f"{self.base}{target}")
        self.drawn()

    def drawn(self) -> None:
        """Waits until every picture is drawn."""
        places = self.page.locator("[data-figure]")
        drawn = self.page.locator("[data-figure].is-drawn")
        for number in range(places.count()):
            drawn.nth(number).wait_for(timeout=DRAWN_WAIT_MS_MAX)

    def sign_in(self, token: str) -> None:
        """Signs in as a person would."""
        self.page.goto(self.base)
        self.page.get_by_label("Your token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.base}/")
        self.drawn()

    def is_clean(self) -> None:
        """Nothing was asked of another machine, and nothing complained."""
        hosts = {urlsplit(url).hostname for url in self.requests if url.startswith("http")}
        assert hosts <= {LOOPBACK}
        assert self.complaints == []


class Served(NamedTuple):
    """An office that serves, and the week it tells of."""

    base: str
    week: Week


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sale: "MakeSale") -> Iterator[Served]:
    """The office of the week with opinions and departments, served by `klantreis-office serve`.

    One for all tests: they look and change nothing.
    """
    data = tmp_path_factory.mktemp("shown") / "data"
    office = open_office(Settings(data, URL.create("sqlite", database=str(data / "office.db"))))
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = str(free.getsockname()[1])
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "KLANTREIS_DATA": str(data)}
    environ.pop("DATABASE_URL", None)
    command = [sys.executable, "-c", SERVE, "serve", "--host", LOOPBACK, "--port", port]
    base = f"http://{LOOPBACK}:{port}"
    with (
        subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=base, timeout=START_WAIT_S_MAX) as http,
    ):
        try:
            _wait(base, process)
            week = opined(rung_up(Desk(office, SystemClock(), http), sale))
            with office.database.write() as connection:
                connection.execute(insert(Product), PRODUCTS)
            yield Served(base, week)
        finally:
            process.terminate()
            process.wait(START_WAIT_S_MAX)
            office.database.close()


@pytest.fixture
def week(served: Served) -> Week:
    """What the served office must know."""
    return served.week


def _wait(base: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_WAIT_S_MAX
    while True:
        try:
            httpx.get(f"{base}/healthz")
        except httpx.TransportError:
            assert process.poll() is None, "the office did not start"
            assert time.monotonic() < deadline, "the office does not answer"
            time.sleep(POLL_S)
        else:
            return


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Visit]:
    """A tab, signed in by nobody yet, that notes every request and every complaint."""
    with browser.new_context() as context:
        page = context.new_page()
        found = Visit(page, served.base, [], [])
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("requestfailed", lambda request: found.complaints.append(request.url))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                found.complaints.append(message.text)
                if message.type in ("error", "warning", "trace")
                else None
            ),
        )
        yield found


def test_the_pages_draw_their_pictures_and_ask_nobody_else(visit: Visit, week: Week) -> None:
    visit.sign_in(week.desk.token())
    page = visit.page
    assert page.locator("[data-figure] .sankey-node").count() >= 4
    assert page.locator("[data-figure] .bars .point").count() == 5
    assert page.locator(".key-figures .value").first.inner_text() == str(week.sales)

    page.get_by_role("link", name="Nederlands").click()
    visit.drawn()
    assert page.get_by_role("heading", level=1).inner_text() == "Klantreizen"

    page.get_by_role("link", name="Leden").click()
    page.get_by_label("Lidnummer").fill(str(week.member))
    page.get_by_role("button", name="Zoek").click()
    page.wait_for_url("**/persons/42*")
    visit.drawn()
    bought, told_in_two_weeks = 6 + 6 + 2, 2 * 5
    points = page.locator("[data-figure] .scatterlayer .point").count()
    assert points == bought + told_in_two_weeks
    assert page.locator(".trips > li").count() == 6
    visit.is_clean()


def test_the_walking_route_is_drawn(visit: Visit, week: Week) -> None:
    visit.sign_in(week.desk.token())
    visit.page.get_by_role("link", name="Route").click()
    visit.drawn()
    assert visit.page.locator("[data-figure] .sankey-node").count() == 3
    row = visit.page.get_by_role("row", name="Dairy <b>")
    assert row.get_by_role("cell").first.inner_text() == str(week.sales)
    visit.open("/route?first=2017-05-15&last=2017-05-16&store=north&lang=nl")
    assert visit.page.get_by_role("heading", level=1).inner_text() == "Looproute"
    assert (
        visit.page.get_by_role("row", name="Dairy <b>").get_by_role("cell").first.inner_text()
        == "6"
    )
    visit.is_clean()


def test_the_journey_map_fits_a_phone_and_prints_on_one_side(visit: Visit, week: Week) -> None:
    visit.sign_in(week.desk.token())
    page = visit.page
    page.get_by_role("link", name="Journey map").click()
    assert page.get_by_role("columnheader").count() == 5
    curve = page.get_by_role("img", name="Mean rating by phase")
    width = curve.bounding_box()
    assert width is not None
    assert width["width"] > 500
    for target in ("/map", "/map?blank=1", "/map?model=need-to-advocacy&lang=nl"):
        visit.open(target)
        pdf = page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1, target
        (wide, high) = map(float, re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)", pdf)[0])
        assert (round(wide), round(high)) == A4_LYING_POINTS
        page.set_viewport_size({"width": PHONE_PX, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX, target
        page.set_viewport_size({"width": 1280, "height": 720})
    visit.is_clean()


def test_the_pages_fit_a_phone(visit: Visit, week: Week) -> None:
    visit.page.set_viewport_size({"width": PHONE_PX, "height": 740})
    visit.sign_in(week.desk.token())
    for target in ("/", "/persons", "/persons/42", "/route", "/odd"):
        visit.open(target)
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE_PX, target
    visit.is_clean()
