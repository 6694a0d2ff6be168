"""`POST /v1/touchpoints`: each item taken or refused by itself, twice is once, all is bounded."""

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from sync_server.auth.users import Role
from sync_server.rate import Rate
from sync_server.tables import ChannelMetric, SentTouchpoint
from sync_server.touchpoints.decoding import ITEM_BYTES_MAX, ITEMS_MAX
from sync_server.touchpoints.inbox import NAMES_MAX
from sync_server.touchpoints.routes import SENDER_ROLES
from sync_server.touchpoints.serving import BODY_BYTES_MAX, STATE, Serving

if TYPE_CHECKING:
    from litestar.testing import TestClient

    from tests.office.touchpoints.conftest import Web

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Roles, bounds and rates are asked before the database."""
ANNA = "anna@example.nl"


def event(web: "Web", **fields: Any) -> dict[str, Any]:
    """A CloudEvent of a visit."""
    item = web.item()
    return {
        "specversion": "1.0",
        "id": item["id"],
        "source": "/shop/web",
        "type": "nl.example.web_visit",
        "time": item["occurred_at"],
        "data": {"channel": "web", "web_id": "x"},
    } | fields


def reasons(answer: dict[str, Any]) -> list[str]:
    return [item["message"] for item in answer["refused"]]


def test_the_same_touchpoint_twice_counts_once(web: "Web") -> None:
    item = web.item(email=ANNA)
    assert web.send(item, web.item())["taken"] == 2
    again = web.send(item, item)
    assert (again["taken"], again["repeated"], again["refused"]) == (0, 2, [])
    assert len(web.desk.rows(SentTouchpoint)) == 2


def test_the_same_name_with_other_content_is_refused(web: "Web") -> None:
    web.send(web.item(id="a", email=ANNA))
    answer = web.send(web.item(id="a", email="ben@example.nl"), web.item(id="b"))
    assert answer["taken"] == 1
    assert [(item["place"], item["id"]) for item in answer["refused"]] == [(0, "a")]


def test_a_bad_item_does_not_block_the_next(web: "Web") -> None:
    lines = [
        json.dumps(web.item(id="a")).encode(),
        b"{",
        json.dumps({**web.item(id="c"), "colour": "red"}).encode(),
        b"[" * 2000,
        b"\xff",
        json.dumps(web.item(id="f")).encode(),
    ]
    answer = web.post(b"\n".join(lines), "application/x-ndjson")
    assert answer.status_code == 200
    assert answer.json()["taken"] == 2
    assert [item["place"] for item in answer.json()["refused"]] == [1, 2, 3, 4]
    assert all(item["message"] and item["fix"] for item in answer.json()["refused"])


def test_a_single_item_that_is_refused_is_a_refusal(web: "Web") -> None:
    answer = web.post(web.item(amount_cents=-1))
    assert answer.status_code == 400
    assert "negative" in answer.json()["message"]
    assert answer.json()["fix"]


def test_a_return_may_be_written_with_a_minus(web: "Web") -> None:
    web.send(web.item("return", id="a", amount_cents=-500), web.item("return", amount_cents=500))
    assert {row["amount_cents"] for row in web.desk.rows(SentTouchpoint)} == {500}


def test_the_future_is_refused_and_a_clock_a_little_ahead_is_not(web: "Web") -> None:
    answer = web.send(web.item(day=101), web.item(day=100))
    assert reasons(answer) == ["occurred_at is in the future"]


def test_seconds_taken_for_milliseconds_are_refused(web: "Web") -> None:
    answer = web.post(web.item(occurred_at="1970-01-21T10:00:00Z"))
    assert "unit" in answer.json()["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"occurred_at": "2026-01-01T10:00:00"},
        {"kind": "Web Visit"},
        {"kind": "rating"},
        {"kind": "nps", "value": 11},
        {"store": "nowhere"},
        {"source": "two words"},
        {"source": "a\n"},
        {"id": "nul\u0000"},
        {"campaign": "bell\u0007"},
        {"email": "nobody"},
        {"phone": "0612345678"},
        {"card": "2000000000016"},
        {"email_sha256": "abc"},
        {"email": ANNA, "email_sha256": "0" * 64},
        {"web_id": " "},
        {"member": -1},
    ],
)
def test_what_does_not_fit_is_told_without_telling_who(web: "Web", fields: dict[str, Any]) -> None:
    answer = web.post(web.item(**fields))
    assert answer.status_code == 400, answer.text
    message = answer.json()["message"]
    assert message
    secrets = [v for k, v in fields.items() if k in ("email", "phone", "card") and v]
    assert not [secret for secret in secrets if str(secret) in message]


def test_an_unknown_kind_is_kept_and_shown(web: "Web") -> None:
    web.send(web.item("teleport", id="a"))
    assert web.persons() == {"a": None}
    (row,) = web.desk.get("/v1/touchpoints/sources", Role.ADMIN).json()
    assert (row["kind"], row["is_known_kind"], row["touchpoints"]) == ("teleport", False, 1)


def test_an_id_taken_for_a_kind_is_refused_before_it_spoils_the_figures(web: "Web") -> None:
    answer = web.send(*(web.item(f"k{n}") for n in range(NAMES_MAX + 5)), web.item("purchase"))
    assert answer["taken"] < NAMES_MAX
    again = web.send(web.item("k0"), web.item("yet_another"), web.item(channel="radio"))
    assert (again["taken"], len(again["refused"])) == (2, 1)


def test_a_cloud_event_is_a_touchpoint(web: "Web") -> None:
    answer = web.post(event(web, id="e1"), "application/cloudevents+json")
    assert answer.status_code == 200, answer.text
    row = web.kept()["e1"]
    assert (row["source"], row["kind"], row["channel"]) == ("/shop/web", "web_visit", "web")


def test_cloud_events_come_in_batches(web: "Web") -> None:
    data = base64.b64encode(b'{"channel": "web", "kind": "ad_click"}').decode()
    batch = [
        event(web, id="e1"),
        event(web, id="e2", data={"channel": "web", "kind": "lead"}, traceparent="00-1"),
        {**event(web, id="e3", data_base64=data), "data": None},
        event(web, id="e4", specversion="0.3"),
        event(web, id="e5", datacontenttype="text/xml"),
        event(web, id="e6", data={"channel": "web", "id": "other"}),
    ]
    del batch[2]["data"]
    answer = web.post(batch, "application/cloudevents-batch+json").json()
    assert answer["taken"] == 3
    assert [item["id"] for item in answer["refused"]] == ["e4", "e5", "e6"]
    assert [web.kept()[f"e{n}"]["kind"] for n in (1, 2, 3)] == ["web_visit", "lead", "ad_click"]


def test_a_days_total_that_is_sent_again_replaces_the_one_before(web: "Web") -> None:
    metric = {
        "source": "ads",
        "day": "2026-11-01",
        "metric": "search_ranking",
        "channel": "search",
        "value": 3.4,
    }
    assert web.send(metric, {**metric, "metric": "clicks", "value": 10})["taken"] == 2
    assert web.send(metric)["repeated"] == 1
    assert web.send({**metric, "value": 3.2, "cost_cents": 5})["taken"] == 1
    rows = {row["metric"]: row["value_thousandths"] for row in web.desk.rows(ChannelMetric)}
    assert rows == {"clicks": 10_000, "search_ranking": 3_200}


def test_a_metric_of_a_cloud_event_and_a_bad_one(web: "Web") -> None:
    data = {"day": "2026-11-01", "metric": "views", "channel": "video", "value": 7}
    kind = "nl.example.channel_metric"
    good = event(web, type=kind, data=data)
    bad = event(web, type=kind, data={**data, "value": -7})
    late = event(web, type=kind, data={**data, "day": "2030-01-01"})
    answer = web.post([good, bad, late], "application/cloudevents-batch+json").json()
    assert (answer["taken"], len(answer["refused"])) == (1, 2)


@on_one_database
def test_only_senders_and_head_office_may_send(web: "Web") -> None:
    body = [web.item()]
    assert web.desk.http.post("/v1/touchpoints", json=body).status_code == 401
    web.token = web.desk.token(Role.ADMIN)
    assert web.post(body).status_code == 403


@on_one_database
@pytest.mark.parametrize("role", SENDER_ROLES)
def test_every_role_of_senders_may_send(web: "Web", role: Role) -> None:
    web.token = web.desk.token(role)
    assert web.post([web.item()]).status_code == 200


@on_one_database
def test_a_body_has_its_bounds(web: "Web") -> None:
    assert web.post(b"[" + b" " * BODY_BYTES_MAX + b"]").status_code == 413
    many = b"\n".join([b"{}"] * (ITEMS_MAX + 1))
    assert web.post(many, "application/jsonl").json()["code"] == "body"
    long = web.post([web.item(web_id="x" * ITEM_BYTES_MAX), web.item()]).json()
    assert (long["taken"], len(long["refused"])) == (1, 1)
    assert web.post(b"not json, and no array").status_code == 400
    assert web.post(b"[1, 2").json()["code"] == "body"
    assert web.post(b"<x/>", "text/xml").status_code == 415


@on_one_database
def test_who_sends_too_much_has_to_wait(web: "Web", client: "TestClient[Any]") -> None:
    serving = Serving(web.desk.office, is_projecting=False)
    serving.rate = Rate(1, 10_000, 10)
    client.app.state[STATE] = serving
    answers = [web.post([web.item()]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 1000
    web.token = web.desk.token()
    assert web.post([web.item()]).status_code == 200


def test_a_bucket_fills_up_again() -> None:
    rate = Rate(a_second=10, burst=100, senders_max=10)
    assert rate.wait_s("a", 100, 0) == 0
    assert rate.wait_s("a", 50, 1) == pytest.approx(4)
    assert rate.wait_s("a", 50, 5) == 0
    assert rate.wait_s("a", 10_000, 6) > 0
    assert rate.wait_s("a", 10_000, 16) == 0
    assert rate.wait_s("b", 100, 0) == 0


def test_a_journey_shows_what_was_sent(web: "Web") -> None:
    web.member(7, email=ANNA)
    web.send(
        web.item("web_visit", id="a", email=ANNA),
        web.item("purchase", id="b", day=1, email=ANNA, reference="ORD-1", amount_cents=999),
        web.item("delivery", id="c", day=3, channel="post", reference="ORD-1"),
    )
    journey = web.desk.get("/v1/persons/7/journey").json()
    (trip,) = journey["trips"]
    kinds = [one["kind"] for one in trip["touchpoints"]]
    assert kinds == ["web_visit", "purchase", "delivery"]


def test_every_answer_is_as_the_document_says(web: "Web") -> None:
    document = web.desk.http.get("/schema/openapi.json").json()
    operation = document["paths"]["/v1/touchpoints"]["post"]
    assert set(operation["requestBody"]["content"]) >= {
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
    for answer in (web.post([web.item()]), web.post(web.item(kind="?")), web.post(b"", "x/y")):
        assert str(answer.status_code) in operation["responses"]
