"""The pages and the API over HTTP, of an office that a till has told of its week."""

import csv
import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from sync_server.alarms import close_alarms
from sync_server.auth.users import Role
from sync_server.dashboard.wording import wording
from sync_server.journeys.model_file import SHIPPED, load_models
from sync_server.journeys.oddities import OddityName
from sync_server.journeys.person import PersonJourney
from sync_server.journeys.sheets import MEDIA_TYPES, Format
from sync_server.journeys.summary import Summary
from sync_server.registry.store_groups import set_group
from wire.batches import Refusal
from wire.events import Link

if TYPE_CHECKING:
    import httpx

    from tests.office.conftest import Desk, MakeSale
    from tests.office.dashboard.conftest import Week

HTML = {"Accept": "text/html"}
NORTH = "Store north"


def page(desk: "Desk", target: str, status: int = 200) -> str:
    answer = desk.get(target)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def words(html: str) -> str:
    """The text of a page, without its data."""
    plain = re.sub(r"<script.*?</script>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", plain).split())


def refusal(answer: "httpx.Response") -> Refusal:
    found = msgspec.json.decode(answer.content, type=Refusal)
    assert found.message
    assert found.fix
    return found


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("target", ["/", "/persons", "/persons/42", "/map", "/odd", "/route"])
def test_a_visitor_who_is_not_signed_in_is_sent_to_sign_in(desk: "Desk", target: str) -> None:
    answer = desk.http.get(target, headers=HTML, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/persons", "/persons/42", "/map", "/odd", "/route", "/v1/summary"),
        *("/v1/persons/42/journey", "/v1/oddities", "/v1/trips", "/v1/transitions", "/v1/route"),
    ],
)
def test_customers_are_for_head_office_only(desk: "Desk", target: str) -> None:
    assert desk.get(target, Role.ADMIN).status_code == 403
    assert desk.get(target, None).status_code == 401


def test_an_office_without_sales_says_what_to_do(desk: "Desk") -> None:
    text = words(page(desk, "/"))
    assert "No sale has reached the office yet." in text
    assert "klantreis-till enrol" in text


def test_head_office_sees_the_alarm_of_a_till_whose_disk_was_copied(
    desk: "Desk", sale: "MakeSale"
) -> None:
    assert "alarm" not in words(page(desk, "/"))
    for name in ("till-1", "till-2"):
        till = desk.till(name)
        till.add(sale())
        till.send()
        till.send(till.batch(events=(b"another past",)))
        text = words(page(desk, "/"))
    assert "Alarms of 2 tills: till-1, till-2." in text
    assert "klantreis-office alarms" in text
    assert "Alarm van 2 kassa" in words(page(desk, "/?lang=nl"))
    with desk.office.database.write() as connection:
        close_alarms(connection, "till-1", None, "disk replaced", desk.clock.ms)
    assert "An alarm of till till-2:" in words(page(desk, "/"))


def test_the_page_says_what_the_till_sent(week: "Week") -> None:
    text = words(page(week.desk, "/"))
    assert f"Sales {week.sales}" in text
    assert "15 May 2017 to 21 May 2017 · All stores" in text
    assert f"{week.events} events from tills are in the office." in text
    assert "voucher redeemed store Loyalty 2" in text
    assert "Refused: expired 7" in text


def test_the_page_is_dutch_for_those_who_read_dutch(week: "Week") -> None:
    headers = {"Authorization": f"Bearer {week.desk.token()}", "Accept-Language": "nl-NL"}
    preferred = week.desk.http.get("/", headers=headers)
    for html in (page(week.desk, "/?lang=nl"), preferred.text):
        assert '<html lang="nl">' in html
        assert f"Verkopen {week.sales}" in words(html)
    assert preferred.headers["content-language"] == "nl"


def test_a_period_and_a_store_can_be_chosen(week: "Week") -> None:
    text = words(page(week.desk, "/?first=2017-05-16&last=2017-05-17&store=north"))
    assert "16 May 2017 to 17 May 2017 · Store north" in text
    assert "Sales 6" in text


def test_a_period_without_sales_says_which_days_have_some(week: "Week") -> None:
    text = words(page(week.desk, "/?first=2016-01-01&last=2016-01-31"))
    assert "Sales were recorded from 15 May 2017 to 21 May 2017" in text


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("first=2017-05-16&last=2017-05-15", 400, "Choose a last day"),
        ("first=yesterday", 400, "Choose the days again"),
        ("first=0001-01-01&last=9999-12-31", 400, "Choose a last day"),
        ("store=nowhere", 404, "There is no such store"),
        ("model=none", 404, "There is no such journey model"),
        ("trade=piracy", 404, "There is no such trade"),
    ],
)
def test_a_choice_that_cannot_be_is_told_on_the_page(
    week: "Week", query: str, status: int, told: str
) -> None:
    html = page(week.desk, f"/?{query}", status)
    assert told in words(html)
    assert 'role="alert"' in html


def test_a_members_page_tells_their_trips(week: "Week") -> None:
    html = page(week.desk, f"/persons/{week.member}")
    text = words(html)
    assert "Member 42" in text
    assert "Purchases 6" in text
    assert "caused by trip 5" in text
    assert "21 May 2017" in text


def test_a_members_timeline_has_every_touchpoint_of_their_journey_where_it_was(
    opinions: "Week",
) -> None:
    html = page(opinions.desk, f"/persons/{opinions.member}?lang=en")
    (block,) = re.findall(r'id="timeline-picture-data">(.*?)</script>', html)
    figure = json.loads(block)
    drawn = [
        (trace["name"], x, figure["layout"]["yaxis"]["ticktext"][round(y)], text.split("<br>")[-1])
        for trace in figure["data"]
        if trace["mode"] == "markers"
        for x, y, text in zip(trace["x"], trace["y"], trace["text"], strict=True)
    ]
    answer = opinions.desk.get(f"/v1/persons/{opinions.member}/journey")
    found = msgspec.json.decode(answer.content, type=PersonJourney)
    labels = {phase.id: phase.label.en for phase in load_models()[found.model].phases}
    told = [
        (
            wording("en").kind(moment.kind),
            f"{moment.occurred_at:%Y-%m-%d %H:%M:%S}",
            labels[moment.phase or ""],
            f"Trip {trip.number}",
        )
        for trip in found.trips
        for moment in trip.touchpoints
    ]
    assert len(told) == 14 + 2 * 5
    assert sorted(drawn) == sorted(told)
    rows = [words(row) for row in re.findall(r"<li[^>]*>\s*<time.*?</li>", html, re.DOTALL)]
    assert len(rows) == len(told)


def test_what_is_odd_is_told_with_what_to_do(opinions: "Week") -> None:
    evil = "<img src=x onerror=1>"
    with opinions.desk.office.database.write() as connection:
        connection.exec_driver_sql("UPDATE touchpoint SET kind = ? WHERE kind = 'share'", (evil,))
    html = page(opinions.desk, "/odd")
    assert "<img" not in html
    text = words(html)
    assert "2 Touchpoints of an unknown kind" in text
    assert "map them in a model of your own" in text
    assert "Customers who may have been there before the recording" in text
    assert "Sales below nothing" in text.partition("Not there")[2]
    nl = words(page(opinions.desk, "/odd?lang=nl"))
    assert "2 Contactmomenten van een onbekende soort" in nl
    found = opinions.desk.get("/v1/oddities").json()
    (kinds,) = (odd for odd in found if odd["oddity"] == "unknown_kind")
    assert (kinds["count"], kinds["examples"]) == (2, [f"{evil} (2)"])
    assert "There is no such journey model" in words(page(opinions.desk, "/odd?model=none", 404))


def test_every_oddity_has_its_words_in_both_languages() -> None:
    for name in OddityName:
        for part in ("", "_about", "_fix"):
            assert wording("nl")(f"odd_{name}{part}") != wording("en")(f"odd_{name}{part}")


def test_a_member_is_looked_up_by_number(week: "Week") -> None:
    token = week.desk.token()
    answer = week.desk.http.get(
        "/persons?number=%2042%20&lang=nl",
        headers={"Authorization": f"Bearer {token}"},
        follow_redirects=False,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/persons/42?lang=nl")


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("/persons/43", 404, "There is no member 43"),
        ("/persons?number=forty-two", 400, "is no member number"),
        (f"/persons?number={'9' * 100}", 400, "is no member number"),
        ("/persons", 200, "Member number"),
    ],
)
def test_who_is_not_found_is_told_with_what_to_do(
    week: "Week", target: str, status: int, told: str
) -> None:
    assert told in words(page(week.desk, target, status))


@pytest.mark.parametrize("target", ["/", "/persons", "/persons/42", "/?lang=nl", "/map", "/odd"])
def test_the_security_policy_holds_for_everything_on_the_page(week: "Week", target: str) -> None:
    answer = week.desk.get(target)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for tag, attributes in Tags(answer.text).tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        address = attributes.get("src") or (tag == "link" and attributes.get("href")) or ""
        assert str(address).startswith(("/static/", "data:,")) or not address
        if tag == "script" and "src" not in attributes:
            assert attributes["type"] == "application/json"


def test_a_picture_has_the_same_as_a_table(week: "Week") -> None:
    html = page(week.desk, "/")
    assert html.count("data-figure=") == 2
    assert html.count("The same as a table") == 2
    blocks = re.findall(r'<script type="application/json" id="[\w-]+">(.*?)</script>', html)
    assert [json.loads(block)["data"][0]["type"] for block in blocks] == ["bar", "sankey"]


def test_every_heading_and_field_can_be_found_by_a_screen_reader(week: "Week") -> None:
    tags = Tags(page(week.desk, "/")).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    named = {
        attributes["aria-labelledby"] for _, attributes in tags if "aria-labelledby" in attributes
    }
    assert named <= ids
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(
        attributes.get("aria-label") for _, attributes in tags if attributes.get("role") == "img"
    )


def test_a_shop_cannot_put_markup_into_a_page(desk: "Desk", sale: "MakeSale") -> None:
    till = desk.till("till-1", "evil")
    with desk.office.database.write() as connection:
        connection.exec_driver_sql("UPDATE store SET name = '</script><img src=x onerror=1>'")
    till.add(sale(500, link=Link("card", b"m" * 16, 7)), 1_494_835_200_000)
    till.send()
    desk.project()
    for target in ("/", "/?store=evil", "/persons/7"):
        assert "<img" not in page(desk, target)


def test_the_files_of_a_page_come_compressed_and_stay_for_long(desk: "Desk") -> None:
    html = page(desk, "/persons")
    (address,) = re.findall(r'href="(/static/klantreis\.css\?[0-9a-f]+)"', html)
    answer = desk.http.get(address, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    plain = desk.http.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == answer.text


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "plotly.min.js"])
def test_a_file_that_is_none_is_refused(desk: "Desk", name: str) -> None:
    assert desk.http.get(f"/static/{name}").status_code == 404


def test_the_summary_is_what_the_tills_sent(week: "Week") -> None:
    answer = week.desk.get("/v1/summary?from=2017-05-15&to=2017-05-22")
    found = msgspec.json.decode(answer.content, type=Summary)
    totals = found.current.totals
    assert (totals.sales, totals.turnover_cents) == (week.sales, week.turnover_cents)
    assert (totals.linked_sales, totals.persons, totals.vouchers_printed) == (13, 8, 6)
    assert (totals.lines, totals.trips) == (week.sales, 13)
    assert found.events_synced == week.events
    assert found.current.loops.trips == 2
    assert found.current.linked_how == {"card": 6, "typed": 7}
    assert (found.first, found.end) == (date(2017, 5, 15), date(2017, 5, 22))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=2017-05-15&to=2017-05-15", 400),
        ("from=soon", 400),
        ("store=nowhere", 404),
        ("group=none", 404),
        ("campaign=none", 404),
        ("segment=heroes", 400),
        ("model=none", 404),
        ("trade=piracy", 400),
        ("from=2017-05-15&to=2017-05-16&as_of=2017-05-15", 400),
    ],
)
def test_a_summary_that_cannot_be_is_refused_with_what_to_do(
    week: "Week", query: str, status: int
) -> None:
    answer = week.desk.get(f"/v1/summary?{query}")
    assert answer.status_code == status
    refusal(answer)


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
@pytest.mark.parametrize("is_asked_by_header", [False, True])
def test_a_summary_is_given_in_the_format_asked_for(
    week: "Week", form: str, is_asked_by_header: bool
) -> None:
    query = "/v1/summary?from=2017-05-15&to=2017-05-22"
    headers = {"Authorization": f"Bearer {week.desk.token()}"}
    if is_asked_by_header:
        answer = week.desk.http.get(query, headers={**headers, "Accept": MEDIA_TYPES[Format(form)]})
    else:
        answer = week.desk.http.get(f"{query}&format={form}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == MEDIA_TYPES[Format(form)]
    assert answer.headers["vary"] == "Accept"
    assert ("content-disposition" in answer.headers) == (form != "json")
    if form == "json":
        assert answer.json()["current"]["totals"]["sales"] == week.sales
        return
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    else:
        rows = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    (sales,) = (row for row in rows if (row["group"], row["figure"]) == ("totals", "sales"))
    assert float(sales["value"]) == week.sales


def test_a_format_that_is_none_is_refused_with_those_that_are(week: "Week") -> None:
    found = refusal(week.desk.get("/v1/summary?format=xlsx"))
    assert found.code == "format"
    assert "json, csv, parquet" in found.fix


@pytest.mark.parametrize("table", ["transitions", "trips"])
def test_other_tables_are_given_in_the_format_asked_for(week: "Week", table: str) -> None:
    days = "from=2017-05-15&to=2017-05-22"
    plain = week.desk.get(f"/v1/{table}?{days}").json()
    as_csv = week.desk.get(f"/v1/{table}?{days}&format=csv")
    rows = list(csv.DictReader(io.StringIO(as_csv.text, newline="")))
    assert len(rows) == len(plain) > 0
    assert list(rows[0]) == list(plain[0])
    few = week.desk.get(f"/v1/{table}?{days}&segment=champions&store=north").json()
    assert 0 < len(few) < len(plain)


def test_a_summary_can_be_narrowed_over_http_and_on_the_page(week: "Week") -> None:
    with week.desk.office.database.write() as connection:
        set_group(connection, "<b>all</b>", ["north"])
    query = "campaign=welcome&group=%3Cb%3Eall%3C%2Fb%3E&segment=champions&segment=loyal"
    found = week.desk.get(f"/v1/summary?{query}").json()
    assert found["filters"] == {
        "stores": [],
        "groups": ["<b>all</b>"],
        "campaign": "welcome",
        "segments": ["champions", "loyal"],
    }
    assert found["current"]["totals"]["sales"] == 6  # those of member 42
    html = page(week.desk, "/?campaign=welcome&group=%3Cb%3Eall%3C%2Fb%3E&segment=champions")
    assert "<b>all" not in html
    text = words(html)
    assert "campaign welcome · Champions" in text
    assert "Sales 6" in text
    assert "sales of nobody known" in text
    (address,) = re.findall(r'href="(/v1/summary[^"]*?)">', html)[:1]
    as_data = week.desk.get(address.replace("&amp;", "&")).json()
    assert as_data["filters"]["groups"] == ["<b>all</b>"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("group=none", "store-group"),
        ("campaign=none", "Nothing is known of this campaign"),
        ("segment=heroes", "There is no such segment"),
    ],
)
def test_a_filter_that_is_not_there_is_told_on_the_page(
    week: "Week", query: str, told: str
) -> None:
    html = page(week.desk, f"/?{query}", 404)
    assert told in words(html)
    assert 'role="alert"' in html


def test_a_journey_is_given_as_data(week: "Week") -> None:
    answer = week.desk.get("/v1/persons/42/journey")
    found = msgspec.json.decode(answer.content, type=PersonJourney)
    assert [trip.caused_by for trip in found.trips] == [None, None, 2, None, None, 5]
    assert found.trips[0].touchpoints[0].store_name == NORTH
    assert refusal(week.desk.get("/v1/persons/43/journey")).code == "unknown_person"


def test_the_models_are_given_with_their_phases_and_settings(desk: "Desk") -> None:
    found = desk.get("/v1/models", Role.ADMIN).json()
    model = {model["id"]: model for model in found}["orientation-to-loyalty"]
    assert model["phases"][0]["id"] == "orientation"
    assert model["settings"]["grocery"]["lapse_days"] == 60


def test_a_shops_own_model_can_be_chosen_as_soon_as_its_file_is_there(week: "Week") -> None:
    models = week.desk.office.settings.data_dir / "models"
    models.mkdir()
    assert "own" not in {model["id"] for model in week.desk.get("/v1/models").json()}
    text = (SHIPPED / "orientation-to-loyalty.toml").read_text()
    (models / "own.toml").write_text(text.replace('id = "orientation-to-loyalty"', 'id = "own"'))
    assert week.desk.get("/v1/summary?model=own").json()["model"] == "own"
    (models / "own.toml").write_text("id = 3")
    answer = week.desk.get("/v1/summary?model=own")
    assert refusal(answer).code == "model_file"


def test_the_document_describes_the_summary_as_it_is(week: "Week") -> None:
    document = week.desk.http.get("/schema/openapi.json").json()
    schemas: dict[str, Any] = document["components"]["schemas"]
    answer = week.desk.get("/v1/summary").json()

    def check(value: Any, schema: dict[str, Any]) -> None:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        for choice in schema.get("oneOf", ()):
            if value is not None and choice.get("type") != "null":
                check(value, choice)
        if isinstance(value, dict) and "properties" in schema:
            fields: dict[str, Any] = value
            assert set(fields) == set(schema["properties"])
            for name, field in fields.items():
                check(field, schema["properties"][name])
        if isinstance(value, list) and "items" in schema:
            items: list[Any] = value
            for item in items:
                check(item, schema["items"])

    route = document["paths"]["/v1/summary"]["get"]
    check(answer, route["responses"]["200"]["content"]["application/json"]["schema"])
    assert {parameter["name"] for parameter in route["parameters"]} == {
        *("from", "to", "as_of", "store", "model", "trade", "format"),
        *("group", "campaign", "segment"),
    }
