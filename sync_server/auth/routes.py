"""Signing in with a browser: a token or a one-time link becomes a session cookie.

A link opens a page with a button, so that a program that only looks at the link does not use it up.
"""

import re
import time
from ipaddress import ip_address
from typing import Annotated, Any

from jinja2 import Environment, PackageLoader
from litestar import MediaType, Response, get, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Redirect
from msgspec import Meta, Struct

from sync_server.answers import SIGN_IN_PATH, AnyRequest, office_of, refusals
from sync_server.auth.guards import (
    COOKIE,
    TooManyAttempts,
    attempts_of,
    require_attempt,
    source_of,
)
from sync_server.auth.users import (
    SESSION_MS,
    end_session,
    new_session,
    use_link,
    user_of_token,
)

SIGN_IN_BYTES_MAX = 4096
SECRET_CHARS_MAX = 256
_PAGE = Environment(loader=PackageLoader("sync_server", "auth"), autoescape=True).get_template(
    "sign_in.html"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d*)?")
"""A Host header: an IPv6 address in brackets or a name, then a port (RFC 9110, section 7.2)."""

Secret = Annotated[str, Meta(max_length=SECRET_CHARS_MAX)]


class TokenForm(Struct, frozen=True):
    token: Secret


class LinkForm(Struct, frozen=True):
    link: Secret


class Problem(Struct, frozen=True):
    """Why signing in did not work."""

    message: str
    fix: str


PROBLEMS = {
    "token": Problem("This token is not, or no longer, good.", "Ask head office for a new one."),
    "link": Problem(
        "This link was used before, or is too old.",
        "Sign in with your token, or print a new link: klantreis-office user link NAME.",
    ),
    "attempts": Problem("Too many bad attempts.", "Wait a minute, then try with the right one."),
}

_SEE_OTHER = {303: ResponseSpec(None, description="To the page, or back here with what was wrong.")}


@get(
    SIGN_IN_PATH,
    operation_id="getSignIn",
    summary="The page to sign in at",
    description="For anybody.",
    tags=["pages"],
    media_type=MediaType.HTML,
    responses=refusals(400),
    sync_to_thread=False,
)
def get_sign_in(problem: Annotated[str, QueryParameter(max_length=16)] = "") -> Response[str]:
    """A form for the token."""
    return _page(problem=PROBLEMS.get(problem))


@get(
    "/sign-in/link/{link:str}",
    operation_id="getSignInLink",
    summary="The page of a one-time link",
    description="For anybody with a link; looking at it does not use it up.",
    tags=["pages"],
    media_type=MediaType.HTML,
    responses=refusals(400),
    sync_to_thread=False,
)
def get_link(link: Annotated[str, PathParameter(max_length=SECRET_CHARS_MAX)]) -> Response[str]:
    """A button that uses the link."""
    return _page(link=link)


@post(
    SIGN_IN_PATH,
    status_code=303,
    operation_id="signIn",
    summary="Sign in with a token",
    description="For anybody with a token; bad ones are counted by address.",
    tags=["pages"],
    responses={**_SEE_OTHER, **refusals(400, 413)},
    request_max_body_size=SIGN_IN_BYTES_MAX,
    sync_to_thread=True,
)
def post_sign_in(
    request: AnyRequest,
    data: Annotated[TokenForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Response[Any]:
    """Starts a session for the token's user."""
    office, attempts, source = office_of(request), attempts_of(request), source_of(request)
    try:
        require_attempt(attempts, source)
    except TooManyAttempts:
        return _back("attempts")
    with office.database.write() as connection:
        user = user_of_token(connection, data.token.strip())
        if user is not None:
            return _signed_in(request, new_session(connection, user.name, office.now_ms()))
    attempts.bad(source, time.monotonic())
    return _back("token")


@post(
    "/sign-in/link",
    status_code=303,
    operation_id="signInByLink",
    summary="Sign in with a one-time link",
    description="For anybody with a link; bad ones are counted by address.",
    tags=["pages"],
    responses={**_SEE_OTHER, **refusals(400, 413)},
    request_max_body_size=SIGN_IN_BYTES_MAX,
    sync_to_thread=True,
)
def post_link(
    request: AnyRequest,
    data: Annotated[LinkForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> Response[Any]:
    """Starts a session for the link's user, and uses the link up."""
    office, attempts, source = office_of(request), attempts_of(request), source_of(request)
    try:
        require_attempt(attempts, source)
    except TooManyAttempts:
        return _back("attempts")
    with office.database.write() as connection:
        session = use_link(connection, data.link, office.now_ms())
    if session is not None:
        return _signed_in(request, session)
    attempts.bad(source, time.monotonic())
    return _back("link")


@post(
    "/sign-out",
    status_code=303,
    operation_id="signOut",
    summary="End the session",
    description="For anybody.",
    tags=["pages"],
    responses={**_SEE_OTHER, **refusals()},
    request_max_body_size=SIGN_IN_BYTES_MAX,
    sync_to_thread=True,
)
def post_sign_out(request: AnyRequest) -> Response[Any]:
    """Forgets the browser's session."""
    secret = request.cookies.get(COOKIE)
    if secret:
        with office_of(request).database.write() as connection:
            end_session(connection, secret)
    answer = Redirect(SIGN_IN_PATH, status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


routes: list[Any] = [get_sign_in, get_link, post_sign_in, post_link, post_sign_out]


def is_secure(scheme: str, host: str, forwarded_proto: str) -> bool:
    """Whether a session's cookie is for TLS only: always, but at this machine's own names.

    Behind a proxy that speaks TLS the request comes as plain HTTP, under the name it was sent to.
    """
    if "https" in (scheme.lower(), forwarded_proto.strip().lower()):
        return True
    found = _HOST.fullmatch(host)
    if found is None:
        return True
    name = (found[1] or found[2]).lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return True


def _page(problem: Problem | None = None, link: str = "") -> Response[str]:
    html = _PAGE.render(problem=problem, link=link)
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": _POLICY})


def _back(problem: str) -> Response[Any]:
    return Redirect(f"{SIGN_IN_PATH}?problem={problem}", status_code=303)


def _signed_in(request: AnyRequest, secret: str) -> Response[Any]:
    cookie = Cookie(
        key=COOKIE,
        value=secret,
        path="/",
        max_age=SESSION_MS // 1000,
        httponly=True,
        samesite="strict",
        secure=is_secure(
            request.scope["scheme"],
            request.headers.get("host", ""),
            request.headers.get("x-forwarded-proto", ""),
        ),
    )
    return Redirect("/", status_code=303, cookies=[cookie])
