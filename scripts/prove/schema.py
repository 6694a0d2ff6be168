"""Shows that the office keeps to its OpenAPI document, whatever it is asked.

    scripts/prove/schema --examples 500 --database postgresql

schemathesis makes requests that the document allows, and others that it forbids, for every
operation; nobody, a till, and a user of each role send them to the real application over a real
database. No answer may be a fault, and each must be as the document says: status, content type,
headers, body. What is refused is refused with `message` and `fix`.
"""

import argparse
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import httpx
import msgspec
import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis.checks import CHECKS as REGISTRY  # pyright: ignore[reportUnknownVariableType]
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from sqlalchemy.engine import URL

from scripts.bench.figures import Figure, Report, at_least, at_most
from scripts.prove.simulate import quietly
from scripts.virtual.postgresql import PostgreSQL
from sync_server.app import create_app
from sync_server.auth.attempts import Attempts
from sync_server.auth.tills import till_rate
from sync_server.auth.users import Role, add_user
from sync_server.database import Database
from sync_server.migrate import migrate
from sync_server.office import Office, open_office
from sync_server.projector import project_all
from sync_server.registry.members import MemberRow, store_members
from sync_server.registry.offers import add_offer
from sync_server.registry.products import store_products
from sync_server.registry.stores import add_store
from sync_server.registry.tills import add_till
from sync_server.settings import Settings
from wire.batches import BATCH_CONTENT_TYPE, Batch, Refusal, encode_batch
from wire.chain import genesis, next_hash
from wire.enrolment import Enrolment
from wire.events import Event, Line, Link, Sale, Tender, TenderKind, encode_event
from wire.feed import FEED_CONTENT_TYPE, Offer, Product
from wire.requests import SignedBy, signing_text, write_header

EXAMPLES = 500
QUICK_EXAMPLES = 5
SEED = 1
SQLITE, POSTGRESQL = "sqlite", "postgresql"
TILL, NOBODY = "till", "nobody"
SENDERS = (NOBODY, TILL, *Role)
ORIGIN = "http://127.0.0.1"
CARD = "4006381333931"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
NOT_FOUND, NOT_ALLOWED = 404, 405
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
BINARY = (BATCH_CONTENT_TYPE, FEED_CONTENT_TYPE, "application/octet-stream")
SHOWN_MAX = 20


class Violation(NamedTuple):
    """An answer that is not as the document says."""

    operation: str
    sender: str
    told: str


class Till:
    """A till's key, and how far its chain is at the office."""

    def __init__(self, enrolment: Enrolment, key: Ed25519PrivateKey) -> None:
        self._enrolment, self._key = enrolment, key
        self._seq, self._hash = 0, genesis(enrolment.till_id, enrolment.epoch)

    def sign(self, request: httpx.Request) -> None:
        """Puts this till's signature on `request`."""
        at_ms = time.time_ns() // 1_000_000
        target = request.url.raw_path.decode()
        till_id = self._enrolment.till_id
        text = signing_text(till_id, at_ms, request.method, target, request.content)
        signed = SignedBy(till_id, at_ms, self._key.sign(text))
        request.headers["Authorization"] = write_header(signed)

    def batch(self, bodies: Sequence[Any]) -> bytes:
        """The next batch: events with these bodies, and one of any bytes."""
        events: list[bytes] = []
        first, before = self._seq + 1, self._hash
        for seq, body in enumerate(bodies, first):
            data = body if isinstance(body, bytes) else encode_event(Event(seq, 1, body))
            events.append(data)
            self._seq, self._hash = seq, next_hash(self._hash, data)
        till_id, epoch = self._enrolment.till_id, self._enrolment.epoch
        return encode_batch(Batch(till_id, epoch, first, before, tuple(events)))


class Subject:
    """An office to ask, with something in it, and everybody who may ask."""

    def __init__(self, office: Office, client: TestClient[Litestar]) -> None:
        self.office, self.client = office, client
        self.paths = Paths(client.get("/schema/openapi.json").json())
        now_ms = office.now_ms()
        with office.database.write() as connection:
            add_store(connection, "1", "Store 1", "Europe/Amsterdam", now_ms)
            code = add_till(connection, "till-1", "1", 15, now_ms)
            member = MemberRow(1, now_ms, (("card", CARD),))
            store_members(connection, [(1, member)], office.keys, now_ms)
            store_products(connection, [(1, Product(CARD, "Tea", 250))], now_ms)
            add_offer(connection, Offer("spring", "Spring", 100, 30), now_ms)
            self.tokens = {
                role: add_user(connection, f"user-{role}", role, now_ms) for role in Role
            }
        key = Ed25519PrivateKey.generate()
        body = {"code": code, "public_key": key.public_key().public_bytes_raw()}
        answer = client.post("/v1/enrol", content=msgspec.json.encode(body))
        self.till = Till(msgspec.json.decode(answer.content, type=Enrolment), key)
        sale = Sale(now_ms, 100, (Line(CARD, 1, 100),), (Tender(TenderKind.CASH, 100),))
        linked = msgspec.structs.replace(sale, link=Link("card", b"t" * 16, 1))
        self.send(
            TILL, "POST", "/v1/events", self.till.batch([sale, linked, b"?"]), BATCH_CONTENT_TYPE
        )
        project_all(office)

    def send(
        self, sender: str, method: str, target: str, body: bytes, content_type: str = ""
    ) -> httpx.Response:
        """The answer to a request of `sender`, signed or with the token of the role."""
        # Each request for itself: neither rates nor bad attempts before it count.
        self.client.app.state.update(attempts=Attempts(), till_rate=till_rate())
        self.client.cookies.clear()
        headers = {"Content-Type": content_type} if content_type else {}
        request = self.client.build_request(method, ORIGIN + target, content=body, headers=headers)
        if sender == TILL:
            self.till.sign(request)
        elif sender != NOBODY:
            request.headers["Authorization"] = f"Bearer {self.tokens[Role(sender)]}"
        return self.client.send(request, follow_redirects=False)


@contextmanager
def a_database(kind: str, directory: Path) -> Generator[URL]:
    """A new database of the kind."""
    if kind == SQLITE:
        yield URL.create("sqlite", database=str(directory / "office.db"))
        return
    # Not below `directory`, which is this user's alone: as root, PostgreSQL runs as another.
    own = Path(tempfile.mkdtemp(prefix="kr-pg-"))
    server = PostgreSQL(own)
    try:
        yield server.create("office")
    finally:
        server.stop()
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def a_subject(kind: str = SQLITE) -> Generator[Subject]:
    """An office over a new database of the kind."""
    directory = Path(tempfile.mkdtemp(prefix="kr-schema-"))
    try:
        with quietly(), a_database(kind, directory) as url:
            migrate(Database(url))
            office = open_office(Settings(directory / "data", url))
            app = create_app(office, is_projecting=False)
            with TestClient(app, ORIGIN, raise_server_exceptions=False) as client:
                yield Subject(office, client)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def operations_of(document: dict[str, Any]) -> Iterator[Any]:
    """Every operation of the document, as schemathesis knows it."""
    for content_type in BINARY:
        schemathesis.serializer(content_type)(_as_they_are)
    every: Any = schemathesis.openapi.from_dict(document)
    for found in every.get_all_operations():
        yield found.ok()


def _as_they_are(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class Tally:
    """What was asked and answered."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.operations: set[str] = set()
        self.violations: list[Violation] = []

    @property
    def requests(self) -> int:
        return self.statuses.total()


def ask(subject: Subject, operation: Any, examples: int, number: int, tally: Tally) -> None:
    """Asks `operation` `examples` times as the document says, and as often as it does not."""
    tally.operations.add(operation.label)
    for mode in GenerationMode:
        cases = operation.as_strategy(generation_mode=mode)

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        @given(cases, st.data())
        def each(case: Any, data: st.DataObject) -> None:
            _one(subject, case, data, tally)

        try:
            cast("Callable[[], None]", each)()
        except Unsatisfiable:
            continue  # there is nothing about it that could be wrong


def _one(subject: Subject, case: Any, data: st.DataObject, tally: Tally) -> None:
    prepared = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN)).prepare()
    parts = urlsplit(str(prepared.url))
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.path == "/v1/feed":
        target = target.replace("wait=", "waits=")  # the answer would come after as many seconds
    body = prepared.body or b""
    if not isinstance(body, bytes):
        assert isinstance(body, str)
        body = body.encode()
    content_type = str(prepared.headers.get("Content-Type", ""))
    sender = data.draw(st.sampled_from(SENDERS))
    if target == "/v1/events" and sender == TILL and data.draw(st.booleans()):
        bodies = data.draw(st.lists(st.binary(max_size=40), max_size=3))
        body, content_type = subject.till.batch(bodies), BATCH_CONTENT_TYPE
    method = str(prepared.method)
    try:
        answer = subject.send(sender, method, target, body, content_type)
    except httpx.InvalidURL:
        return
    tally.statuses[answer.status_code] += 1
    for told in told_of(case, answer, subject.paths.told_of(method, target, answer)):
        violation = Violation(case.operation.label, sender, f"{method} {target[:200]}: {told}")
        tally.violations.append(violation)


def told_of(case: Any, answer: httpx.Response, of_the_path: Sequence[str]) -> Iterator[str]:
    """What of `answer` is not as the document says; `of_the_path` is what its path tells."""
    yield from of_the_path
    if answer.status_code >= 400 and not _is_refusal(answer):
        yield f"{answer.status_code} without message and fix: {answer.text[:80]}"
    if answer.status_code == NOT_ALLOWED or (answer.status_code == NOT_FOUND and not of_the_path):
        return
    load_all_checks()
    try:
        case.validate_response(answer, checks=[REGISTRY.get_one(name) for name in CHECKS])
    except FailureGroup as failures:
        for failure in failures.exceptions:
            yield f"{answer.status_code} {' '.join(str(failure).split())[:300]}"


class Paths:
    """Which paths and methods the document knows, and so which answers 404 and 405 are right."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.methods = {
            path: {name.upper() for name in item} & set(METHODS)
            for path, item in document["paths"].items()
        }
        self._responses = {
            (path, name.upper()): set(operation["responses"])
            for path, item in document["paths"].items()
            for name, operation in item.items()
            if name.upper() in METHODS
        }
        self._patterns = [
            (re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) + "/?"), path)
            for path in sorted(self.methods, key=lambda path: path.count("{"))
        ]

    def of(self, target: str) -> str | None:
        """The path of the document that `target` is one of; None when it is none."""
        path = unquote(target.partition("?")[0])
        return next((each for pattern, each in self._patterns if pattern.fullmatch(path)), None)

    def told_of(self, method: str, target: str, answer: httpx.Response) -> list[str]:
        """What is wrong with an answer 404 or 405, or with another one in place of it."""
        path, status = self.of(target), answer.status_code
        if path is None:
            return [] if status >= 400 else [f"{status} of a path that is not in the document"]
        if method in self.methods[path]:
            if status == NOT_ALLOWED:
                return ["405 of a method that is in the document"]
            if status == NOT_FOUND and str(NOT_FOUND) not in self._responses[path, method]:
                return ["404 of an operation that is not said to have it"]
            return []
        if status != NOT_ALLOWED:
            return [f"{status}, not 405, of a method that is not in the document"]
        allowed = {each.strip() for each in answer.headers.get("allow", "").split(",")}
        if allowed - {"OPTIONS", "HEAD"} != self.methods[path]:
            return [f"405 that allows {sorted(allowed)}, not {sorted(self.methods[path])}"]
        return []


def ask_other_methods(subject: Subject, tally: Tally) -> None:
    """Asks every path for the methods it does not have, as each of those who may ask."""
    for path, known in subject.paths.methods.items():
        target = re.sub(r"\{[^}]*\}", "1", path)
        for method in sorted(set(METHODS) - known - {"OPTIONS"}):
            for sender in SENDERS:
                answer = subject.send(sender, method, target, b"")
                tally.statuses[answer.status_code] += 1
                told = subject.paths.told_of(method, target, answer)
                tally.violations += [
                    Violation(f"{method} {path}", sender, f"{method} {target}: {each}")
                    for each in told
                ]


def _is_refusal(answer: httpx.Response) -> bool:
    if answer.headers.get("content-type", "").startswith("text/html"):
        return answer.status_code < 500  # a page for a person says it in words
    try:
        refusal = msgspec.json.decode(answer.content, type=Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return bool(refusal.message and refusal.fix)


def prove(subject: Subject, examples: int, number: int) -> Tally:
    """Asks every operation."""
    tally = Tally()
    with quietly():
        for operation in operations_of(subject.client.get("/schema/openapi.json").json()):
            ask(subject, operation, examples, number, tally)
        ask_other_methods(subject, tally)
    return tally


def report_of(tally: Tally, kind: str, took_s: float) -> Report:
    report = Report(f"schema-{kind}", packages=("schemathesis", "hypothesis", "litestar"))
    report.add(
        at_least("operations", len(tally.operations), "operations", 1),
        Figure("requests", tally.requests, "requests"),
        *(
            Figure(f"answers {status}", number, "answers")
            for status, number in sorted(tally.statuses.items())
        ),
        at_most("faults of the office", _faults(tally), "answers", 0),
        at_most("answers that are not as documented", len(tally.violations), "answers", 0),
        Figure("took", took_s, "s"),
    )
    return report


def _faults(tally: Tally) -> int:
    return sum(number for status, number in tally.statuses.items() if status >= 500)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove/schema",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=EXAMPLES, metavar="N", help="an operation")
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL), default=SQLITE)
    parser.add_argument("--seed", type=int, default=SEED, metavar="S")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EXAMPLES} an operation")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    examples = QUICK_EXAMPLES if chosen.quick else chosen.examples
    began_s = time.monotonic()
    with a_subject(chosen.database) as subject:
        tally = prove(subject, examples, chosen.seed)
    for told in list(dict.fromkeys(tally.violations))[:SHOWN_MAX]:
        print(f"{told.operation}, {told.sender}: {told.told}")
    return report_of(tally, chosen.database, time.monotonic() - began_s).finish(chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
