"""People and programs that use the office: names, roles, tokens, sign-in links, sessions.

Every secret is 256 random bits and kept as its SHA-256 only: nothing that could be guessed, so
nothing that a slow hash would protect.
"""

import re
import secrets
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update
from sqlmodel import col

from sync_server.errors import RegistryError
from sync_server.tables import ApiUser, WebSession

TOKEN_BYTES = 32
TOKEN_PREFIX = "kr_"  # noqa: S105 - lets a secret scanner know one when it sees it
SESSION_MS = 12 * 3600 * 1000
LINK_MS = 15 * 60 * 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Role(StrEnum):
    """What somebody may do.

    `head-office` sees customers; `admin` keeps tills and stores; `integration` is a program that
    sends touchpoints and sees nothing.
    """

    HEAD_OFFICE = "head-office"
    ADMIN = "admin"
    INTEGRATION = "integration"


class User(NamedTuple):
    name: str
    role: Role


class UserRow(NamedTuple):
    """A user as listed; the token cannot be shown again."""

    name: str
    role: str
    created_at_ms: int
    revoked_at_ms: int | None


def add_user(connection: Connection, name: str, role: Role, now_ms: int) -> str:
    """Makes a user and returns the token, which is not kept. Raises `RegistryError`."""
    if not _NAME.fullmatch(name):
        raise RegistryError(
            "user_name",
            f"{name!r} is no user name.",
            "Take up to 64 lower-case letters, digits, dots and hyphens.",
        )
    known = connection.execute(select(col(ApiUser.name)).where(col(ApiUser.name) == name))
    if known.first() is not None:
        raise RegistryError(
            "user_exists",
            f"There is a user {name} already.",
            f"Take another name, or a new token: klantreis-office user renew {name}",
        )
    token = _new_secret()
    row = {"name": name, "role": role, "token_hash": _hash(token), "created_at_ms": now_ms}
    connection.execute(insert(ApiUser), row)
    return token


def renew_token(connection: Connection, name: str) -> str:
    """A new token for `name`; the old one and every session end. Raises `RegistryError`."""
    token = _new_secret()
    done = connection.execute(update(ApiUser).where(_active(name)).values(token_hash=_hash(token)))
    if not done.rowcount:
        raise _unknown(name)
    _end_sessions(connection, name)
    return token


def revoke_user(connection: Connection, name: str, now_ms: int) -> None:
    """`name` may do nothing any more, at once. Raises `RegistryError`."""
    done = connection.execute(update(ApiUser).where(_active(name)).values(revoked_at_ms=now_ms))
    if not done.rowcount:
        raise _unknown(name)
    _end_sessions(connection, name)


def list_users(connection: Connection) -> list[UserRow]:
    """All users, by name."""
    found = connection.execute(
        select(
            col(ApiUser.name),
            col(ApiUser.role),
            col(ApiUser.created_at_ms),
            col(ApiUser.revoked_at_ms),
        ).order_by(col(ApiUser.name))
    )
    return [UserRow(*row) for row in found]


def user_of_token(connection: Connection, token: str) -> User | None:
    """Whose token it is."""
    found = connection.execute(
        select(col(ApiUser.name), col(ApiUser.role), col(ApiUser.token_hash)).where(
            col(ApiUser.token_hash) == _hash(token), col(ApiUser.revoked_at_ms).is_(None)
        )
    ).one_or_none()
    if found is None or not secrets.compare_digest(found.token_hash, _hash(token)):
        return None
    return User(found.name, Role(found.role))


def new_link(connection: Connection, name: str, now_ms: int) -> str:
    """The secret of a sign-in link: works once and for minutes. Raises `RegistryError`."""
    if connection.execute(select(col(ApiUser.name)).where(_active(name))).first() is None:
        raise _unknown(name)
    return _new_session(connection, name, "link", now_ms + LINK_MS)


def use_link(connection: Connection, link: str, now_ms: int) -> str | None:
    """The secret of a new session for the link's user; None when the link is no longer good."""
    name = connection.execute(
        delete(WebSession)
        .where(
            col(WebSession.secret_hash) == _hash(link),
            col(WebSession.kind) == "link",
            col(WebSession.expires_at_ms) > now_ms,
        )
        .returning(col(WebSession.name))
    ).scalar_one_or_none()
    return None if name is None else new_session(connection, name, now_ms)


def new_session(connection: Connection, name: str, now_ms: int) -> str:
    """The secret of a session of `name` (what the browser's cookie holds)."""
    connection.execute(delete(WebSession).where(col(WebSession.expires_at_ms) <= now_ms))
    return _new_session(connection, name, "cookie", now_ms + SESSION_MS)


def user_of_session(connection: Connection, secret: str, now_ms: int) -> User | None:
    """Who signed in with this cookie."""
    found = connection.execute(
        select(col(ApiUser.name), col(ApiUser.role))
        .join(WebSession, col(WebSession.name) == col(ApiUser.name))
        .where(
            col(WebSession.secret_hash) == _hash(secret),
            col(WebSession.kind) == "cookie",
            col(WebSession.expires_at_ms) > now_ms,
            col(ApiUser.revoked_at_ms).is_(None),
        )
    ).one_or_none()
    return None if found is None else User(found.name, Role(found.role))


def end_session(connection: Connection, secret: str) -> None:
    """Signs the browser with this cookie out."""
    connection.execute(delete(WebSession).where(col(WebSession.secret_hash) == _hash(secret)))


def _new_session(connection: Connection, name: str, kind: str, expires_at_ms: int) -> str:
    secret = _new_secret()
    row = {
        "secret_hash": _hash(secret),
        "kind": kind,
        "name": name,
        "expires_at_ms": expires_at_ms,
    }
    connection.execute(insert(WebSession), row)
    return secret


def _end_sessions(connection: Connection, name: str) -> None:
    connection.execute(delete(WebSession).where(col(WebSession.name) == name))


def _active(name: str):
    return (col(ApiUser.name) == name) & col(ApiUser.revoked_at_ms).is_(None)


def _new_secret() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _unknown(name: str) -> RegistryError:
    return RegistryError(
        "user_unknown",
        f"There is no user {name}.",
        "See who there is: klantreis-office user list",
    )
