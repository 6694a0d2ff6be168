"""The office keeps to its OpenAPI document: a part of what `scripts/prove/schema` asks."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.prove import schema
from sync_server.auth.users import Role

SEED = 1
EXAMPLES = 2
"""An operation that are allowed, and as many that are not."""
KINDS = (schema.SQLITE, schema.POSTGRESQL)


@pytest.fixture(scope="module", params=[schema.SQLITE])
def subject(request: pytest.FixtureRequest) -> Iterator[schema.Subject]:
    with schema.a_subject(request.param) as made:
        yield made


@pytest.mark.parametrize("subject", KINDS, indirect=True)
def test_every_answer_is_as_the_document_says(subject: schema.Subject):
    document = subject.client.get("/schema/openapi.json").json()
    tally = schema.prove(subject, EXAMPLES, SEED)
    assert tally.violations == []
    assert max(tally.statuses) < 500
    assert {200, 400, 401, 403, 404, 405} <= tally.statuses.keys()
    assert len(tally.operations) == sum(map(len, document["paths"].values()))
    kind = subject.office.database.url.get_backend_name()
    assert schema.report_of(tally, kind, 1.0).holds


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


@pytest.mark.parametrize(
    ("method", "target", "document_says", "told"),
    [
        ("GET", "/v1/stores", {"get": {"responses": {}}}, []),
        ("POST", "/v1/stores", {"get": {"responses": {}}}, []),
        ("POST", "/v1/stores", {"post": {"responses": {}}}, ["405 of a method that is in"]),
        ("PUT", "/v1/stores", {"post": {"responses": {}}}, ["405 that allows"]),
        ("GET", "/v1/stores", {"post": {"responses": {}}}, ["not 405, of a method"]),
        ("GET", "/v1/tills/none", {"get": {"responses": {"404": {}}}}, []),
        ("GET", "/v1/tills/none", {"get": {"responses": {}}}, ["404 of an operation"]),
        ("GET", "/v1/nothing", {}, []),
        ("GET", "/v1/stores", {}, ["of a path that is not in"]),
    ],
)
def test_answers_404_and_405_are_held_against_the_document(
    subject: schema.Subject,
    method: str,
    target: str,
    document_says: dict[str, Any],
    told: list[str],
):
    path = re.sub("tills/.*", "tills/{till_id}", target)
    paths = schema.Paths({"paths": {path: document_says} if document_says else {}})
    found = paths.told_of(method, target, subject.send(Role.ADMIN, method, target, b""))
    assert len(found) == len(told)
    assert all(expected in each for each, expected in zip(found, told, strict=True))


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
