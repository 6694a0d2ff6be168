"""Who may use the office: tokens, roles, sessions, and what happens to those who guess."""

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_server.auth.attempts import BAD_ATTEMPTS_MAX, SOURCES_MAX, WINDOW_S, Attempts
from sync_server.auth.guards import COOKIE
from sync_server.auth.routes import is_secure
from sync_server.auth.users import (
    LINK_MS,
    SESSION_MS,
    Role,
    add_user,
    list_users,
    new_link,
    renew_token,
    revoke_user,
)
from sync_server.errors import RegistryError
from sync_server.tables import ApiUser, WebSession

if TYPE_CHECKING:
    from tests.office.conftest import Desk

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Guards, cookies, attempts: asked before the database, or as others that run on both."""
PERSONAL = ("/v1/members/1", "/v1/summary", "/v1/persons/1/journey", "/")
COMMON = ("/v1/stores", "/v1/tills", "/v1/quarantine", "/v1/alarms", "/metrics")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def user(desk: "Desk", name: str = "anna", role: Role = Role.HEAD_OFFICE) -> str:
    with desk.office.database.write() as connection:
        return add_user(connection, name, role, desk.clock.ms)


def sign_in(desk: "Desk", token: str) -> httpx.Response:
    return desk.http.post("/sign-in", data={"token": token}, follow_redirects=False)


@pytest.mark.parametrize("path", [*PERSONAL, *COMMON])
@on_one_database
def test_nothing_is_told_to_somebody_unknown(desk: "Desk", path: str) -> None:
    answer = desk.get(path, None)
    assert answer.status_code == 401
    assert answer.json()["fix"]
    wrong = desk.http.get(path, headers={"Authorization": "Bearer kr_guess"})
    assert wrong.status_code == 401


@pytest.mark.parametrize("path", [*PERSONAL, *COMMON])
@on_one_database
def test_a_program_that_sends_touchpoints_is_told_nothing(desk: "Desk", path: str) -> None:
    assert desk.get(path, Role.INTEGRATION).status_code == 403


@pytest.mark.parametrize("path", PERSONAL)
@on_one_database
def test_an_admin_is_told_nothing_of_customers(desk: "Desk", path: str) -> None:
    answer = desk.get(path, Role.ADMIN)
    assert answer.status_code == 403
    assert "head-office" in answer.json()["message"]


@pytest.mark.parametrize("path", COMMON)
@pytest.mark.parametrize("role", [Role.HEAD_OFFICE, Role.ADMIN])
@on_one_database
def test_both_roles_are_told_of_stores_and_tills(desk: "Desk", path: str, role: Role) -> None:
    assert desk.get(path, role).status_code == 200


def test_tokens_are_kept_as_hashes_only(desk: "Desk") -> None:
    token = user(desk)
    assert len(token) > 40
    assert token.encode() not in desk.rows(ApiUser)[0]["token_hash"]
    assert token not in repr(desk.rows(ApiUser))


def test_a_renewed_token_ends_the_old_one_and_its_sessions(desk: "Desk") -> None:
    old = user(desk)
    sign_in(desk, old)
    with desk.office.database.write() as connection:
        fresh = renew_token(connection, "anna")
    for token, status in ((old, 401), (fresh, 200)):
        answer = desk.http.get("/v1/tills", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
    assert desk.http.get("/v1/tills").status_code == 401


def test_a_revoked_user_may_do_nothing_at_once(desk: "Desk") -> None:
    token = user(desk)
    sign_in(desk, token)
    with desk.office.database.write() as connection:
        revoke_user(connection, "anna", desk.clock.ms)
    bearer = {"Authorization": f"Bearer {token}"}
    assert desk.http.get("/v1/tills", headers=bearer).status_code == 401
    assert desk.http.get("/v1/tills").status_code == 401
    with desk.office.database.read() as connection:
        assert [row.revoked_at_ms for row in list_users(connection)] == [desk.clock.ms]


@pytest.mark.parametrize("name", ["", "Anna", "a b", "x" * 65, "ä"])
@on_one_database
def test_a_name_that_is_none_is_refused(desk: "Desk", name: str) -> None:
    with pytest.raises(RegistryError):
        user(desk, name)


def test_two_users_of_one_name_are_refused(desk: "Desk") -> None:
    user(desk)
    with pytest.raises(RegistryError, match="already"):
        user(desk)


def test_a_browser_signs_in_with_a_token(desk: "Desk") -> None:
    answer = sign_in(desk, user(desk))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert desk.http.get("/v1/tills").status_code == 200


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({"Host": "office.example"}, True),
        ({"Host": "192.168.1.5:8000"}, True),
        ({"Host": "localhost.example"}, True),
        ({"Host": "[2001:db8::1]:8000"}, True),
        ({"Host": "[::1"}, True),
        ({"Host": ""}, True),
        ({"Host": "127.0.0.1:8000", "X-Forwarded-Proto": "https"}, True),
        ({"Host": "127.0.0.1:8000"}, False),
        ({"Host": "127.8.9.1"}, False),
        ({"Host": "LocalHost:8000"}, False),
        ({"Host": "office.localhost"}, False),
        ({"Host": "[::1]:8000"}, False),
    ],
)
@on_one_database
def test_the_cookie_is_for_tls_only_except_on_the_machine_itself(
    desk: "Desk", headers: dict[str, str], secure: bool
) -> None:
    answer = desk.http.post(
        "/sign-in", data={"token": user(desk)}, headers=headers, follow_redirects=False
    )
    assert answer.headers["Location"] == "/"
    assert ("secure" in answer.headers["Set-Cookie"].lower().split("; ")) is secure


@given(st.text(max_size=30) | st.from_regex(r"[\[\]:.0-9a-f]{0,20}", fullmatch=True))
def test_any_host_has_a_cookie_and_over_tls_a_secure_one(host: str) -> None:
    assert is_secure("https", host, "")
    assert is_secure("http", host, "https")
    assert is_secure("http", host, "") in (True, False)


def test_the_cookie_is_kept_as_a_hash_only(desk: "Desk") -> None:
    sign_in(desk, user(desk))
    secret = desk.http.cookies[COOKIE]
    assert secret not in repr(desk.rows(WebSession))


def test_a_session_ends_by_itself(desk: "Desk") -> None:
    sign_in(desk, user(desk))
    desk.clock.ms += SESSION_MS
    assert desk.http.get("/v1/tills").status_code == 401


def test_a_session_ends_by_signing_out(desk: "Desk") -> None:
    sign_in(desk, user(desk))
    secret = desk.http.cookies[COOKIE]
    desk.http.post("/sign-out", follow_redirects=False)
    answer = desk.http.get("/v1/tills", headers={"Cookie": f"{COOKIE}={secret}"})
    assert answer.status_code == 401
    assert desk.rows(WebSession) == []


def test_a_wrong_token_leads_back_with_what_to_do(desk: "Desk") -> None:
    answer = desk.http.post("/sign-in", data={"token": "kr_guess"}, follow_redirects=True)
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "Ask head office" in answer.text


def test_a_browser_that_is_not_signed_in_is_sent_to_the_page(desk: "Desk") -> None:
    answer = desk.http.get("/", headers=BROWSER, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    page = desk.http.get("/sign-in", headers=BROWSER)
    assert page.status_code == 200
    assert 'name="token"' in page.text


def test_a_link_signs_a_browser_in_once(desk: "Desk") -> None:
    user(desk)
    with desk.office.database.write() as connection:
        link = new_link(connection, "anna", desk.clock.ms)
    page = desk.http.get(f"/sign-in/link/{link}")
    # Looking at it, as programs do that preview links, does not use it up.
    assert desk.http.get(f"/sign-in/link/{link}").text == page.text
    found = re.search(r'name="link" value="([^"]+)"', page.text)
    assert found
    answer = desk.http.post("/sign-in/link", data={"link": found[1]}, follow_redirects=False)
    assert answer.headers["Location"] == "/"
    assert desk.http.get("/v1/tills").status_code == 200
    desk.http.cookies.clear()
    again = desk.http.post("/sign-in/link", data={"link": link}, follow_redirects=False)
    assert again.headers["Location"] == "/sign-in?problem=link"


def test_a_link_is_good_for_minutes(desk: "Desk") -> None:
    user(desk)
    with desk.office.database.write() as connection:
        link = new_link(connection, "anna", desk.clock.ms)
    desk.clock.ms += LINK_MS
    answer = desk.http.post("/sign-in/link", data={"link": link}, follow_redirects=False)
    assert answer.headers["Location"] == "/sign-in?problem=link"


def test_a_link_is_no_session(desk: "Desk") -> None:
    user(desk)
    with desk.office.database.write() as connection:
        link = new_link(connection, "anna", desk.clock.ms)
    answer = desk.http.get("/v1/tills", headers={"Cookie": f"{COOKIE}={link}"})
    assert answer.status_code == 401


@on_one_database
def test_what_stands_in_a_link_is_shown_as_text(desk: "Desk") -> None:
    page = desk.http.get('/sign-in/link/"><script>alert(1)</script>'.replace("/s", "%2Fs"))
    assert "<script>" not in page.text


@on_one_database
def test_guessing_is_slowed_down_and_the_right_token_waits_too(desk: "Desk") -> None:
    token = user(desk)
    for _ in range(BAD_ATTEMPTS_MAX):
        desk.http.get("/v1/tills", headers={"Authorization": "Bearer kr_guess"})
    answer = desk.http.get("/v1/tills", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= WINDOW_S + 1
    assert sign_in(desk, token).headers["Location"] == "/sign-in?problem=attempts"


def test_after_the_window_attempts_count_anew() -> None:
    attempts = Attempts()
    for _ in range(BAD_ATTEMPTS_MAX):
        assert attempts.wait_s("a", 100) == 0
        attempts.bad("a", 100)
    assert attempts.wait_s("a", 100) == WINDOW_S
    assert attempts.wait_s("b", 100) == 0
    assert attempts.wait_s("a", 100 + WINDOW_S) == 0
    attempts.bad("a", 100 + WINDOW_S)
    assert attempts.wait_s("a", 100 + WINDOW_S) == 0


def test_many_sources_do_not_fill_the_memory() -> None:
    attempts = Attempts()
    for source in range(SOURCES_MAX + 10):
        for _ in range(BAD_ATTEMPTS_MAX if source > SOURCES_MAX else 1):
            attempts.bad(str(source), 0)
    assert attempts.wait_s(str(SOURCES_MAX + 9), 0) > 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1_000)), max_size=60))
def test_a_wait_is_never_longer_than_the_window(events: list[tuple[str, float]]) -> None:
    attempts = Attempts()
    for source, now_s in sorted(events, key=lambda event: event[1]):
        assert 0 <= attempts.wait_s(source, now_s) <= WINDOW_S
        attempts.bad(source, now_s)
