"""An office that takes touchpoints, and the people and things they speak of."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sync_server.auth.users import Role
from sync_server.projector import project_all
from sync_server.registry.members import MemberRow, store_members
from sync_server.tables import SentTouchpoint, Touchpoint
from sync_server.touchpoints.projection import project_all as project_touchpoints
from sync_server.touchpoints.serving import Serving

if TYPE_CHECKING:
    from litestar.testing import TestClient

    from tests.office.conftest import Desk

DAY_MS = 86_400_000


class Web:
    """Systems that send touchpoints to an office, and a look at what became of them."""

    def __init__(self, desk: "Desk", noon_ms: int) -> None:
        self.desk = desk
        self.noon_ms = noon_ms
        self.token = desk.token(Role.HEAD_OFFICE)
        self._names = itertools.count(1)

    def item(self, kind: str = "web_visit", day: int = 0, **fields: Any) -> dict[str, Any]:
        """A touchpoint to send, `day` days after the first."""
        at = datetime.fromtimestamp((self.noon_ms + day * DAY_MS) / 1000, UTC)
        given = {
            "source": "shop",
            "id": f"t{next(self._names)}",
            "kind": kind,
            "channel": "web",
            "occurred_at": at.isoformat(),
        }
        return {**given, **fields}

    def post(self, body: Any, content_type: str = "application/json") -> httpx.Response:
        """The answer to a body, which is written as JSON unless it is bytes."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        target = "/v1/touchpoints"
        if isinstance(body, bytes):
            return self.desk.http.post(target, content=body, headers=headers)
        return self.desk.http.post(target, json=body, headers=headers)

    def send(self, *items: dict[str, Any]) -> dict[str, Any]:
        """What became of `items`; they are projected."""
        answer = self.post(list(items))
        assert answer.status_code == 200, answer.text
        self.project()
        return answer.json()

    def project(self) -> None:
        """Projects all there is: the tills' log, and what was sent."""
        project_all(self.desk.office)
        project_touchpoints(self.desk.office)

    def member(self, number: int, **identifiers: str) -> None:
        """A member the registry knows by these."""
        row = MemberRow(number, None, tuple(identifiers.items()))
        with self.desk.office.database.write() as connection:
            outcome = store_members(connection, [(1, row)], self.desk.office.keys, 1)
        assert not outcome.refused
        self.project()

    def persons(self) -> dict[str, int | None]:
        """Whose each sent touchpoint is, by its id, as the table of all touchpoints has it."""
        rows = self.desk.rows(Touchpoint)
        sent = [row for row in rows if row["id"].startswith("sent ")]
        return {row["id"].split(" ", 2)[2]: row["person"] for row in sent}

    def kept(self) -> dict[str, dict[str, Any]]:
        """The sent touchpoints as they are kept, by id."""
        return {row["source_id"]: row for row in self.desk.rows(SentTouchpoint)}


@pytest.fixture
def web(desk: "Desk", client: "TestClient[Any]") -> Web:
    """Senders, a hundred days before the office's now; all bounds are new."""
    client.app.state["touchpoints"] = Serving(desk.office, is_projecting=False)
    return Web(desk, desk.clock.ms - 100 * DAY_MS)


MakeWeb = Callable[..., Web]
