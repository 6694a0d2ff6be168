"""Decoders: whatever the bytes, an item is good or has a reason; a cut stream spoils one item."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sync_server.touchpoints.decoding import (
    CLOUD_EVENT,
    CLOUD_EVENTS,
    CONTENT_TYPES,
    JSON,
    JSON_LINES,
    BodyError,
    Fault,
    decode_body,
)
from sync_server.touchpoints.identifiers import normal_email, normal_phone, parse_receipt
from sync_server.touchpoints.incoming import MetricIn, Rules, Sent, TouchpointIn, understand
from wire.identifiers import receipt_code

NOW_MS = 1_795_000_000_000
RULES = Rules(bytes(32), {"1"})

names = st.builds(str.__add__, st.sampled_from("az"), st.text("az09_-", max_size=8))
texts = st.builds(
    str.__add__,
    st.just("x"),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
)
times = st.datetimes(
    datetime(1991, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without a zone
    datetime(2026, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@st.composite
def touchpoints(draw: st.DrawFn) -> dict[str, Any]:
    item: dict[str, Any] = {
        "source": draw(
            st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
        ),
        "id": draw(
            st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
        ),
        "kind": draw(names.filter(lambda name: name not in ("rating", "nps"))),
        "channel": draw(names),
        "occurred_at": draw(times).isoformat(),
    }
    for field in ("campaign", "reference", "web_id", "payment", "referral", "voucher"):
        if draw(st.booleans()):
            item[field] = draw(texts)
    if draw(st.booleans()):
        item["amount_cents"] = draw(st.integers(0, 10**12))
    return item


@settings(max_examples=40)
@given(items=st.lists(touchpoints(), min_size=1, max_size=3))
def test_an_item_means_the_same_in_every_form(items: list[dict[str, Any]]) -> None:
    lines = b"\n".join(json.dumps(item).encode() for item in items)
    events = [
        {
            "specversion": "1.0",
            "type": "x." + item["kind"],
            "source": item["source"],
            "id": item["id"],
            "time": item["occurred_at"],
            "data": {
                k: v
                for k, v in item.items()
                if k not in ("source", "id", "kind", "occurred_at") or k == "kind"
            },
        }
        for item in items
    ]
    found = decode_body(JSON, json.dumps(items).encode())
    assert found == decode_body(JSON_LINES[0], lines)
    assert found is not None
    for item in found:
        assert isinstance(item, TouchpointIn)
        assert isinstance(understand(item, RULES, NOW_MS), Sent)
    assert found == decode_body(CLOUD_EVENTS, json.dumps(events).encode())
    assert found[:1] == decode_body(CLOUD_EVENT, json.dumps(events[0]).encode())


@given(body=st.binary(max_size=200), content_type=st.sampled_from(CONTENT_TYPES))
def test_no_bytes_break_a_decoder(body: bytes, content_type: str) -> None:
    try:
        found = decode_body(content_type, body)
    except BodyError:
        return
    assert all(isinstance(item, TouchpointIn | MetricIn | Fault) for item in found or [])


@settings(max_examples=40)
@given(items=st.lists(touchpoints(), min_size=2, max_size=3), data=st.data())
def test_lines_cut_anywhere_spoil_the_last_one_only(
    items: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = b"\n".join(json.dumps(item).encode() for item in items)
    cut = data.draw(st.integers(1, len(body)))
    whole = decode_body(JSON_LINES[0], body) or []
    found = decode_body(JSON_LINES[0], body[:cut]) or []
    assert found[:-1] == whole[: len(found) - 1]
    assert isinstance(found[-1], Fault) or found[-1] == whole[len(found) - 1]


@settings(max_examples=40)
@given(item=touchpoints(), junk=st.recursive(st.none() | st.text(), st.lists))
def test_a_field_of_the_wrong_kind_is_a_fault_that_names_it(
    item: dict[str, Any], junk: Any
) -> None:
    (found,) = decode_body(JSON, json.dumps({**item, "kind": [junk]}).encode()) or []
    assert isinstance(found, Fault)
    assert "kind" in found.reason
    assert found.id == item["id"]


@given(given_=st.text(max_size=40))
def test_a_normal_form_is_its_own_normal_form(given_: str) -> None:
    for normal in (normal_email, lambda text: normal_phone(text, None)):
        try:
            found = normal(given_)
        except ValueError:
            continue
        assert normal(found) == found


@given(
    till=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
    epoch=st.integers(0, 2**53),
    seq=st.integers(0, 2**53),
)
def test_a_receipts_code_is_read_back(till: str, epoch: int, seq: int) -> None:
    found = parse_receipt(receipt_code(till, epoch, seq))
    assert found == (till.upper(), epoch, seq)


@given(text=st.text(max_size=40))
def test_no_text_breaks_the_reading_of_receipts(text: str) -> None:
    parse_receipt("KR." + text)
