"""Routes, journeys and changes as tables over HTTP; cohorts and answers on the page."""

import csv
import io
import re
from typing import TYPE_CHECKING

import msgspec
import pyarrow.parquet as pq
import pytest

from sync_server.dashboard.api import CURSOR_HEADER, MORE_HEADER
from sync_server.journeys.changes import ChangePage
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.rfm import RfmName
from sync_server.journeys.route import RouteSummary
from sync_server.journeys.summary import Summary

if TYPE_CHECKING:
    from tests.office.dashboard.conftest import Week

DAYS = "from=2017-05-15&to=2017-05-22"


def table(week: "Week", target: str) -> list[dict[str, str]]:
    answer = week.desk.get(target)
    assert answer.headers["content-type"].startswith("text/csv")
    assert ".csv" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_the_walking_route_is_given_as_a_table(week: "Week") -> None:
    answer = week.desk.get(f"/v1/route?{DAYS}")
    told = msgspec.json.decode(answer.content, type=RouteSummary)
    rows = table(week, f"/v1/route?{DAYS}&format=csv")
    now = [row for row in rows if row["period"] == "current"]
    assert [(int(row["step"]), row["from"], row["to"], int(row["visits"])) for row in now] == [
        (way.step, way.origin, way.target, way.visits) for way in told.current.ways
    ]
    assert told.current.visits > 10


def test_the_walking_route_of_a_segment_is_of_fewer_visits(week: "Week") -> None:
    everybody = week.desk.get(f"/v1/route?{DAYS}").json()
    members = week.desk.get(f"/v1/route?{DAYS}&segment=champions&segment=loyal").json()
    assert 0 < members["current"]["visits"] < everybody["current"]["visits"]
    html = week.desk.get("/route?first=2017-05-15&last=2017-05-21&segment=champions").text
    assert re.search(r'<option value="champions" selected', html)


@pytest.mark.parametrize("place", ["/", "/route"])
def test_a_segment_that_nobody_is_in_is_not_told_as_days_without_sales(
    week: "Week", place: str
) -> None:
    found = week.desk.get(f"/v1/summary?{DAYS}").json()["current"]["rfm"]["segments"]
    empty = min(set(RfmName) - {one["segment"] for one in found if one["persons"]})
    days = "first=2017-05-15&last=2017-05-21"
    html = week.desk.get(f"{place}?{days}&segment={empty}&lang=en").text
    assert "None of these customers bought in this period." in html
    assert "There is no sale in this period." not in html


def test_a_journey_is_given_as_a_table_of_touchpoints(week: "Week") -> None:
    answer = week.desk.get("/v1/persons/42/journey")
    told = msgspec.json.decode(answer.content, type=PersonJourney)
    moments = [(trip.number, moment) for trip in told.trips for moment in trip.touchpoints]
    rows = table(week, "/v1/persons/42/journey?format=csv")
    assert [(int(row["trip"]), row["kind"], row["occurred_at"]) for row in rows] == [
        (trip, moment.kind, moment.occurred_at.isoformat()) for trip, moment in moments
    ]
    assert {row["person"] for row in rows} == {"42"}


def test_changes_as_a_table_say_in_their_headers_how_to_go_on(week: "Week") -> None:
    target = "/v1/changes?limit=2&model=orientation-to-loyalty"
    told = msgspec.json.decode(week.desk.get(target).content, type=ChangePage)
    answer = week.desk.get(f"{target}&format=parquet")
    assert answer.headers[CURSOR_HEADER] == told.cursor
    assert answer.headers[MORE_HEADER] == "true"
    rows = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    assert [(row["person"], row["model"]) for row in rows] == [
        (person.person, model) for person in told.persons for model in person.models
    ]
    assert [row["opened"] for row in rows] == [
        now.opened for person in told.persons for now in person.models.values()
    ]


@pytest.mark.parametrize("target", ["/v1/route", "/v1/persons/42/journey", "/v1/changes"])
def test_a_format_that_is_none_is_refused(week: "Week", target: str) -> None:
    answer = week.desk.get(f"{target}?format=xlsx")
    assert (answer.status_code, answer.json()["code"]) == (400, "format")


def test_who_answers_is_told_as_a_share_of_the_trips_with_a_purchase(opinions: "Week") -> None:
    answer = opinions.desk.get(f"/v1/summary?{DAYS}")
    found = msgspec.json.decode(answer.content, type=Summary)
    responses = found.current.responses
    assert responses is not None
    # Of six trips of 42 and one of each of seven others, two opened in the week before: 42's first,
    # and that of 100, who rated. 42 rated on Wednesday and answered on Saturday.
    assert (responses.trips, responses.answered) == (13 - 2, 2)


def test_the_page_shows_who_came_back_in_the_months_after(opinions: "Week") -> None:
    till_later = "/v1/summary?from=2017-05-15&to=2017-05-22&as_of=2017-07-02"
    found = msgspec.json.decode(opinions.desk.get(till_later).content, type=Summary)
    assert [cohort.bought_after for cohort in found.current.cohorts] == [{0: 8}]
    html = opinions.desk.get("/?first=2017-05-15&last=2017-07-01&lang=en").text
    (section,) = re.findall(r'<section aria-labelledby="cohorts">(.*?)</section>', html, re.DOTALL)
    cells = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", section)
    assert cells == ["First purchase", "Members", "+1", "+2", "May 2017", "8", "0.0%", "0.0%"]
