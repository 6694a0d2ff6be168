"""Guards of routes for people and programs: who asks, and whether the role allows it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from sync_server.auth.attempts import Attempts
from sync_server.auth.users import Role, User, user_of_session, user_of_token
from sync_server.errors import Refused
from sync_server.office import Office

COOKIE = "klantreis-session"
_SIGN_IN = "Send Authorization: Bearer TOKEN (klantreis-office user add), or sign in at /sign-in."

AnyConnection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[AnyConnection, BaseRouteHandler], Awaitable[None]]


def requires(*roles: Role) -> Guard:
    """A guard that lets users of `roles` pass. Raises `Refused`: 401, 403 or 429."""

    async def guard(connection: AnyConnection, _: BaseRouteHandler) -> None:
        user = await sync_to_thread(_who, connection)
        if user.role not in roles:
            raise Refused(
                403,
                "role",
                f"{user.name} has the role {user.role}; this is for {' or '.join(roles)}.",
                "Ask head office for a user with that role.",
            )

    return guard


head_office = requires(Role.HEAD_OFFICE)
"""For everything that tells of customers."""

any_user = requires(Role.HEAD_OFFICE, Role.ADMIN)
"""For what tells of stores and tills only."""


def require_attempt(attempts: Attempts, source: str) -> None:
    """Raises `Refused` (429) when `source` had too many bad attempts."""
    wait_s = attempts.wait_s(source, time.monotonic())
    if wait_s > 0:
        raise TooManyAttempts(wait_s)


class TooManyAttempts(Refused):
    """`wait_s` seconds from now the next attempt is looked at."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            429,
            "attempts",
            "Too many bad attempts from this address.",
            f"Wait {int(wait_s) + 1} seconds, then try with the right one.",
        )
        self.wait_s = int(wait_s) + 1


def source_of(connection: AnyConnection) -> str:
    """Where a request comes from, for counting bad attempts."""
    return connection.client.host if connection.client else ""


def attempts_of(connection: AnyConnection) -> Attempts:
    """The count of the application that `connection` belongs to."""
    attempts = connection.app.state["attempts"]
    assert isinstance(attempts, Attempts)
    return attempts


def _who(connection: AnyConnection) -> User:
    office = connection.app.state["office"]
    assert isinstance(office, Office)
    attempts, source = attempts_of(connection), source_of(connection)
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    cookie = connection.cookies.get(COOKIE)
    if scheme.lower() == "bearer" and token:
        require_attempt(attempts, source)
        with office.database.read() as database:
            user = user_of_token(database, token)
        if user is None:
            attempts.bad(source, time.monotonic())
    elif cookie:
        with office.database.read() as database:
            user = user_of_session(database, cookie, office.now_ms())
    else:
        raise Refused(401, "sign_in", "This needs a user of the office.", _SIGN_IN)
    if user is None:
        raise Refused(401, "token", "The token or session is not, or no longer, good.", _SIGN_IN)
    return user
