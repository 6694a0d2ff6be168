"""The API as a whole: the OpenAPI document is complete and true, health and lists tell what is."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from sync_server.auth.users import Role
from sync_server.registry.members import MemberRow, store_members
from sync_server.registry.products import store_products
from sync_server.tables import Watermark
from wire.batches import encode_batch
from wire.feed import Product

if TYPE_CHECKING:
    from tests.office.conftest import Desk, MakeSale, SimTill

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""The document, and what is refused before the database is asked."""
UNDOCUMENTED = {"/schema", "/schema/openapi.json", "/schema/{path}"}


@pytest.fixture
def document(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/schema/openapi.json")
    assert answer.status_code == 200
    return json.loads(answer.content)


def checked(document: Mapping[str, Any], answer: httpx.Response, path: str) -> httpx.Response:
    """`answer`, after it was held against what the document says of it."""
    operation = document["paths"][path][answer.request.method.lower()]
    assert str(answer.status_code) in operation["responses"], (path, answer.status_code)
    said = operation["responses"][str(answer.status_code)].get("content")
    if not said:
        assert answer.content == b""
        return answer
    content_type = answer.headers["Content-Type"].partition(";")[0]
    assert content_type in said, (path, content_type)
    if content_type == "application/json":
        schema = {**said[content_type]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())
    return answer


@on_one_database
def test_every_route_is_in_the_document(
    client: TestClient[Litestar], document: dict[str, Any]
) -> None:
    routes = {
        (route.path_format, method)
        for route in client.app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods - {"OPTIONS"}
        if route.path_format not in UNDOCUMENTED
    }
    said = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert routes == said


@on_one_database
def test_every_operation_says_who_may_and_what_it_refuses(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["description"].startswith("For "), path
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    said = answer["content"]["application/json"]["schema"]
                    assert said == {"$ref": "#/components/schemas/Refusal"}, (path, status)
            if operation.get("security"):
                assert "401" in operation["responses"], path


@on_one_database
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    found = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert found <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_real_answers_are_as_the_document_says(
    desk: "Desk", document: dict[str, Any], till: "SimTill", sale: "MakeSale"
) -> None:
    with desk.office.database.write() as connection:
        member = MemberRow(7, 5, (("card", "2000000000015"),))
        store_members(connection, [(1, member)], desk.office.keys, 1)
        store_products(connection, [(1, Product("5", "Bag"))], 1)
    till.add(sale())
    till.add_raw(b"?")
    enrolment = {"code": desk.code("till-2"), "public_key": "A" * 43 + "="}
    checked(document, desk.http.post("/v1/enrol", json=enrolment), "/v1/enrol")
    events = "/v1/events"
    for batch in (till.batch(), till.batch(previous=bytes(16)), till.batch(first=5)):
        checked(document, till.post(encode_batch(batch)), events)
    for body, content_type in ((b"", ""), (b"{", "application/json"), (bytes(9_000_000), "")):
        checked(document, till.post(body, content_type), events)
    desk.project()
    till.key, key = Ed25519PrivateKey.generate(), till.key
    checked(document, till.post(b""), events)
    till.key = key
    base = till.request("GET", "/v1/feed/members").headers["ETag"].strip('"').partition(".")[0]
    delta = f"/v1/feed/members-delta?base={base}"
    checked(document, till.request("GET", delta), "/v1/feed/members-delta")
    with desk.office.database.write() as connection:
        member = MemberRow(8, 5, (("card", "2000000000022"),))
        store_members(connection, [(1, member)], desk.office.keys, 1)
    for path, target in (
        ("/v1/feed", "/v1/feed"),
        ("/v1/feed", "/v1/feed?known=members:1-2,offers:"),
        ("/v1/feed", "/v1/feed?known=members"),
        ("/v1/feed", "/v1/feed?wait=26"),
        ("/v1/feed/members-delta", delta),
        ("/v1/feed/members-delta", "/v1/feed/members-delta?base=1-2"),
        ("/v1/feed/members-delta", "/v1/feed/members-delta"),
        ("/v1/feed/vouchers", "/v1/feed/vouchers?since=1"),
        ("/v1/feed/vouchers", f"/v1/feed/vouchers?since={'1' * 65}"),
    ):
        checked(document, till.request("GET", target), path)
        checked(document, desk.http.get(target), path)
    for part in ("members", "products", "offers", "vouchers"):
        path = f"/v1/feed/{part}"
        fetched = checked(document, till.request("GET", path), path)
        again = {"If-None-Match": fetched.headers["ETag"]}
        checked(document, till.request("GET", path, headers=again), path)
        checked(document, desk.http.get(path), path)
    ranges = ({"Range": "bytes=5-9"}, {"Range": "bytes=99999999-"})
    for headers in ranges:
        answer = till.request("GET", "/v1/feed/members", headers=headers)
        checked(document, answer, "/v1/feed/members")
    for path, target in (
        ("/v1/stores", "/v1/stores"),
        ("/v1/tills", "/v1/tills?limit=1"),
        ("/v1/tills", "/v1/tills?limit=0"),
        ("/v1/tills/{till_id}", "/v1/tills/till-1"),
        ("/v1/tills/{till_id}", "/v1/tills/nobody"),
        ("/v1/members/{member}", "/v1/members/7"),
        ("/v1/members/{member}", "/v1/members/8"),
        ("/v1/members/{member}", "/v1/members/-1"),
        ("/v1/quarantine", "/v1/quarantine"),
        ("/v1/quarantine", "/v1/quarantine?after=x"),
        ("/v1/alarms", "/v1/alarms"),
        ("/v1/models", "/v1/models"),
        ("/v1/summary", "/v1/summary"),
        ("/v1/summary", "/v1/summary?model=none"),
        ("/v1/summary", "/v1/summary?from=yesterday"),
        ("/v1/persons/{person}/journey", "/v1/persons/7/journey"),
        ("/v1/persons/{person}/journey", "/v1/persons/8/journey"),
        ("/metrics", "/metrics"),
        ("/healthz", "/healthz"),
        ("/sign-in", "/sign-in"),
        ("/sign-in/link/{link}", "/sign-in/link/kr_x"),
    ):
        for role in (Role.HEAD_OFFICE, Role.ADMIN, None):
            checked(document, desk.get(target, role), path)
    for path, form in (("/sign-in", "token"), ("/sign-in/link", "link")):
        for value in ("kr_x", "x" * 300):
            data = {form: value}
            answer = desk.http.post(path, data=data, follow_redirects=False)
            checked(document, answer, path)
        checked(document, desk.http.post(path, content=bytes(5_000)), path)
    out = desk.http.post("/sign-out", follow_redirects=False)
    checked(document, out, "/sign-out")
    checked(document, desk.http.post("/v1/enrol", json={}), "/v1/enrol")
    checked(document, desk.http.post("/v1/enrol", json={**enrolment, "code": "X" * 9}), "/v1/enrol")


def test_health_counts_what_is_logged_and_what_is_not_yet_projected(
    desk: "Desk", till: "SimTill", sale: "MakeSale"
) -> None:
    till.add(sale())
    till.add_raw(b"?")
    till.send()
    health = desk.http.get("/healthz").json()
    assert (health["events_logged"], health["lag_events"], health["quarantined"]) == (2, 2, 1)
    desk.project()
    health = desk.http.get("/healthz").json()
    assert (health["lag_events"], health["projected_position"]) == (0, 2)


def test_metrics_are_for_prometheus(desk: "Desk", till: "SimTill", sale: "MakeSale") -> None:
    till.add(sale())
    till.send()
    till.clock.ms += 90_000
    answer = desk.get("/metrics", Role.ADMIN)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "klantreis_events_logged 1.0" in answer.text
    assert "klantreis_lag_events 1.0" in answer.text
    assert "klantreis_longest_silence_seconds 90.0" in answer.text
    assert "till-1" not in answer.text


def test_tills_come_in_pages(desk: "Desk") -> None:
    for number in range(5):
        desk.code(f"till-{number}")
    first = desk.get("/v1/tills?limit=3").json()
    rest = desk.get(f"/v1/tills?limit=3&after={first[-1]['till_id']}").json()
    assert [row["till_id"] for row in first + rest] == [f"till-{n}" for n in range(5)]


def test_a_member_is_told_without_identifiers(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        row = MemberRow(7, 5, (("card", "2000000000015"), ("card", "2000000000022")))
        store_members(connection, [(1, row)], desk.office.keys, 1)
    answer = desk.get("/v1/members/7")
    assert answer.json() == {"member": 7, "enrolled_at_ms": 5, "identifiers": {"card": 2}}


def test_quarantine_and_alarms_are_shown(desk: "Desk", till: "SimTill") -> None:
    till.add_raw(b"?")
    till.send()
    till.send(till.batch(previous=bytes(16)))
    (aside,) = desk.get("/v1/quarantine").json()
    assert (aside["till_id"], aside["seq"], aside["stage"]) == ("till-1", 1, "decode")
    assert desk.get(f"/v1/quarantine?after={aside['position']}").json() == []
    (alarm,) = desk.get("/v1/alarms").json()
    assert (alarm["till_id"], alarm["code"]) == ("till-1", "chain")


@on_one_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", "/v1/events", 405), ("GET", "/v1/members/x", 404)],
)
def test_what_is_not_there_is_refused_like_everything_else(
    desk: "Desk", method: str, path: str, status: int
) -> None:
    answer = desk.http.request(method, path)
    assert answer.status_code == status
    refusal = answer.json()
    assert refusal["message"]
    assert refusal["fix"]
    assert refusal["office_time_ms"] == desk.clock.ms


@on_one_database
def test_a_fault_of_the_office_is_a_refusal_and_tells_nothing_inside(
    desk: "Desk", client: TestClient[Litestar]
) -> None:
    client.app.state["attempts"] = None  # the program is broken
    answer = desk.get("/v1/tills")
    assert answer.status_code == 500
    assert answer.json()["code"] == "fault"
    assert "Assertion" not in answer.text
    assert "Traceback" not in answer.text


def test_a_database_that_is_gone_is_told_as_try_again(desk: "Desk") -> None:
    with desk.office.database.write() as connection:
        connection.execute(Watermark.metadata.tables["watermark"].delete())
        connection.exec_driver_sql("ALTER TABLE watermark RENAME TO gone")
    try:
        answer = desk.http.get("/healthz")
    finally:
        with desk.office.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO watermark")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "watermark" not in answer.text


def test_the_document_says_where_a_browser_is_sent(desk: "Desk") -> None:
    paths = desk.http.get("/schema/openapi.json").json()["paths"]
    for path in ("/", "/persons", "/v1/stores"):
        answer = desk.http.get(path, headers={"Accept": "text/html"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
        assert "303" in paths[path]["get"]["responses"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/tills?after=%00",
        "/v1/tills/%00",
        "/v1/summary?store=%00",
        "/v1/summary?group=%00",
        "/v1/summary?campaign=%00",
        "/v1/changes?since=%00",
        "/?store=%00",
        "/route?group=%00",
        "/persons?number=%00",
    ],
)
def test_a_character_that_no_name_has_is_the_askers_fault(desk: "Desk", target: str) -> None:
    answer = desk.get(target)
    assert answer.status_code < 500, answer.text
    document = desk.http.get("/schema/openapi.json").json()
    path = target.partition("?")[0].replace("%00", "{till_id}")
    assert str(answer.status_code) in document["paths"][path]["get"]["responses"]
