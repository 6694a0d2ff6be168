"""The office keeps to its OpenAPI document: a part of what `scripts/prove/schema` asks."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.prove import schema

SEED = 1
EXAMPLES = 3
"""An operation that are allowed, and as many that are not."""


@pytest.fixture(scope="module")
def subject() -> Iterator[schema.Subject]:
    with schema.a_subject() as made:
        yield made


def test_every_answer_is_as_the_document_says(subject: schema.Subject):
    document = subject.client.get("/schema/openapi.json").json()
    tally = schema.prove(subject, EXAMPLES, SEED)
    assert tally.violations == []
    assert max(tally.statuses) < 500
    assert {200, 400, 401, 403, 404} <= tally.statuses.keys()
    assert len(tally.operations) == sum(map(len, document["paths"].values()))
    assert schema.report_of(tally, schema.SQLITE, 1.0).holds


def broken(document: dict[str, Any], subject: schema.Subject, path: str) -> list[str]:
    """What is told of `path` by a document that says something else than the office does."""
    tally = schema.Tally()
    for operation in schema.operations_of(document):
        if operation.path == path:
            schema.ask(subject, operation, EXAMPLES, SEED, tally)
    assert not schema.report_of(tally, schema.SQLITE, 1.0).holds
    return [violation.told for violation in tally.violations]


def test_an_answer_that_the_document_does_not_name_is_found(subject: schema.Subject):
    document = subject.client.get("/schema/openapi.json").json()
    del document["paths"]["/v1/stores"]["get"]["responses"]["401"]
    assert all(
        "Undocumented status code" in told for told in broken(document, subject, "/v1/stores")
    )


def test_a_body_that_is_not_as_the_document_says_is_found(subject: schema.Subject):
    document = subject.client.get("/schema/openapi.json").json()
    answer = document["paths"]["/healthz"]["get"]["responses"]["200"]
    answer["content"] = {"application/json": {"schema": {"type": "array"}}}
    assert all("violates schema" in told for told in broken(document, subject, "/healthz"))


def test_a_fault_of_the_office_is_found(subject: schema.Subject, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr("sync_server.registry.routes.list_stores", fail)
    document = subject.client.get("/schema/openapi.json").json()
    assert any("Server error" in told for told in broken(document, subject, "/v1/stores"))
