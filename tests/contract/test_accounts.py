"""Registration, login, refresh, logout and profile as the documents and the contract have them."""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

from contract.documents import (
    GOOGLE_LOGIN,
    MIN_PASSWORD_LENGTH,
    OWN_DATA_ONLY,
    PASSWORD_LIFETIME_SECONDS,
    TOKEN_REQUIRED,
    LoggedOut,
    Profile,
    Session,
    read,
    read_error,
)
from harness.clients import PASSWORD, Account, gateway_client, new_email, register
from harness.processes import RunningSuite

REVOKED_WITHIN_SECONDS = 1.0
TOKEN_COOKIE = "access_token_cookie"
CSRF_COOKIE = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"


async def log_in(client: httpx.AsyncClient, account: Account) -> Session:
    """Log in again; the client keeps the cookies."""
    return read(Session, await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD}))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refused_with(client: httpx.AsyncClient, token: str, code: str) -> None:
    """Ask until a token is refused for a reason; a revocation has a second to arrive."""
    deadline = time.monotonic() + REVOKED_WITHIN_SECONDS
    while (answer := await client.get("/api/auth/user/me", headers=bearer(token))).status_code == 200:
        assert time.monotonic() < deadline, "still let in"
        await asyncio.sleep(0.02)
    read_error(answer, 401, code)


# --- register -----------------------------------------------------------------------------------------------------


async def test_registering_answers_201_with_a_session(client: httpx.AsyncClient) -> None:
    email = new_email()

    answer = await client.post("/api/auth/register", json={"email": email, "password": PASSWORD, "name": "Ann"})

    session = read(Session, answer, 201)
    assert session["user"]["email"] == email
    assert session["user"]["name"] == "Ann"
    assert session["access_token"] == session["tokens"]["access_token"]


async def test_a_display_name_is_optional(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/auth/register", json={"email": new_email(), "password": PASSWORD})

    assert read(Session, answer, 201)["user"]["name"] is None


async def test_a_taken_address_is_400_in_any_case(client: httpx.AsyncClient, account: Account) -> None:
    for email in (account.email, account.email.upper()):
        answer = await client.post("/api/auth/register", json={"email": email, "password": PASSWORD})

        read_error(answer, 400)


@pytest.mark.parametrize("email", ["", "user", "user@", "@example.com", "user@localhost", "a b@example.com", "a@b@c.d"])
async def test_an_invalid_address_is_400(client: httpx.AsyncClient, email: str) -> None:
    read_error(await client.post("/api/auth/register", json={"email": email, "password": PASSWORD}), 400)


async def test_a_password_has_eight_characters_at_least(client: httpx.AsyncClient) -> None:
    def body(length: int) -> dict[str, str]:
        return {"email": new_email(), "password": "x" * length}

    short = await client.post("/api/auth/register", json=body(MIN_PASSWORD_LENGTH - 1))
    enough = await client.post("/api/auth/register", json=body(MIN_PASSWORD_LENGTH))

    assert "password" in read_error(short, 400)["message"]
    read(Session, enough, 201)


@pytest.mark.parametrize("field", ["email", "password"])
async def test_a_missing_field_is_named_in_the_documented_words(client: httpx.AsyncClient, field: str) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    del body[field]

    answer = await client.post("/api/auth/register", json=body)

    assert read_error(answer, 400)["message"] == f"Missing required field: {field}"


# --- log in -------------------------------------------------------------------------------------------------------


async def test_logging_in_with_a_password_answers_the_superset(client: httpx.AsyncClient, account: Account) -> None:
    session = await log_in(client, account)

    assert session["message"] == "Login successful"
    assert str(session["user"]["id"]) == account.user_id
    assert session["user"]["email"] == account.email
    assert session["access_token"] == session["tokens"]["access_token"]


async def test_a_password_session_lives_seven_days_and_says_so(client: httpx.AsyncClient, account: Account) -> None:
    session = await log_in(client, account)

    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert session["tokens"]["expires_in"] == PASSWORD_LIFETIME_SECONDS
    assert claims["exp"] - claims["iat"] == PASSWORD_LIFETIME_SECONDS
    assert abs(claims["iat"] - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize("password", ["not the password", PASSWORD.upper(), PASSWORD + " ", "x"])
async def test_a_wrong_password_is_401(client: httpx.AsyncClient, account: Account, password: str) -> None:
    answer = await client.post("/api/auth/login", json={"email": account.email, "password": password})

    read_error(answer, 401, "INVALID_CREDENTIALS")


async def test_an_unknown_user_is_told_the_same(client: httpx.AsyncClient, account: Account) -> None:
    wrong = await client.post("/api/auth/login", json={"email": account.email, "password": "not the password"})
    unknown = await client.post("/api/auth/login", json={"email": new_email(), "password": PASSWORD})

    told = [read_error(answer, 401, "INVALID_CREDENTIALS") for answer in (wrong, unknown)]
    assert told[0]["message"] == told[1]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": GOOGLE_LOGIN["user"]},
        {**GOOGLE_LOGIN, "email": "user@example.com", "password": PASSWORD},
        {**GOOGLE_LOGIN, "email": "user@example.com"},
        {**GOOGLE_LOGIN, "password": PASSWORD},
        {"email": "user@example.com"},
        {"password": PASSWORD},
    ],
)
async def test_both_ways_of_signing_in_or_neither_is_400(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    read_error(await client.post("/api/auth/login", json=body), 400)


# --- tokens and cookies -------------------------------------------------------------------------------------------


async def test_the_login_cookie_signs_in_wherever_a_bearer_does(client: httpx.AsyncClient, account: Account) -> None:
    for path in ("/api/auth/user/me", "/api/alerts/me"):
        by_bearer = await client.get(path, headers=account.bearer)
        await log_in(client, account)
        by_cookie = await client.get(path)
        client.cookies.clear()

        assert by_bearer.status_code == by_cookie.status_code == 200
        assert by_bearer.json() == by_cookie.json()


async def test_the_token_cookie_is_out_of_reach_of_scripts(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})

    cookies = {line.partition("=")[0]: line for line in answer.headers.get_list("Set-Cookie")}
    assert "HttpOnly" in cookies[TOKEN_COOKIE]
    assert "HttpOnly" not in cookies[CSRF_COOKIE]
    for line in cookies.values():
        assert "SameSite=lax" in line
        assert f"Max-Age={PASSWORD_LIFETIME_SECONDS}" in line


async def test_the_bearer_wins_over_the_cookie(client: httpx.AsyncClient, account: Account) -> None:
    other = await register(client)
    await log_in(client, account)

    as_other = await client.get("/api/auth/user/me", headers=other.bearer)
    as_nobody = await client.get("/api/auth/user/me", headers=bearer("not-a-token"))

    assert str(read(Profile, as_other)["user"]["id"]) == other.user_id
    read_error(as_nobody, 401, "AUTH_REQUIRED")


async def test_a_write_that_a_cookie_alone_signs_in_needs_the_csrf_header(
    client: httpx.AsyncClient, account: Account
) -> None:
    alert = {"type": "buy", "symbol": "AAPL", "price": 0.01}
    await log_in(client, account)
    token = client.cookies[CSRF_COOKIE]

    without = await client.post("/api/alerts/me", json=alert)
    wrong = await client.post("/api/alerts/me", json=alert, headers={CSRF_HEADER: token[:-1]})
    right = await client.post("/api/alerts/me", json=alert, headers={CSRF_HEADER: token})
    with_bearer = await client.post("/api/alerts/me", json=alert, headers=account.bearer)

    read_error(without, 403)
    read_error(wrong, 403)
    assert right.status_code == with_bearer.status_code == 200


async def test_logging_out_by_cookie_needs_the_csrf_header_too(client: httpx.AsyncClient, account: Account) -> None:
    await log_in(client, account)

    read_error(await client.post("/api/auth/logout"), 403)
    assert (await client.get("/api/auth/user/me")).status_code == 200
    read(LoggedOut, await client.post("/api/auth/logout", headers={CSRF_HEADER: client.cookies[CSRF_COOKIE]}))
    assert TOKEN_COOKIE not in client.cookies
    read_error(await client.get("/api/auth/user/me"), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize("path", ["/api/auth/user/me", "/api/alerts/me", "/api/auth/user/42", "/api/alerts/nobody"])
async def test_a_protected_route_needs_a_token(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert read_error(answer, 401, "AUTH_REQUIRED")["message"] == TOKEN_REQUIRED
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer ..", "Basic dXNlcjpwYXNz", "Token x", "Bearer é.é.é"],
)
async def test_what_is_no_token_is_401(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/api/alerts/me", headers={b"Authorization": header.encode()})

    assert read_error(answer, 401, "AUTH_REQUIRED")["message"] == TOKEN_REQUIRED


class Forger:
    """Makes tokens like a genuine one but for a claim, with auth's own private key or another."""

    def __init__(self, suite: RunningSuite, genuine: str) -> None:
        (self.key_file,) = (suite.plan.run_dir / "auth-keys").glob("*.pem")
        self.key_id = jwt.get_unverified_header(genuine)["kid"]
        self.claims = jwt.decode(genuine, options={"verify_signature": False})

    def sign(self, *, key: bytes | None = None, **claims: Any) -> str:
        key = key or self.key_file.read_bytes()
        return jwt.encode({**self.claims, **claims}, key, algorithm="EdDSA", headers={"kid": self.key_id})


@pytest.fixture
def forger(suite: RunningSuite, account: Account) -> Forger:
    return Forger(suite, account.token)


async def test_a_token_that_was_good_once_is_expired(client: httpx.AsyncClient, forger: Forger) -> None:
    now = int(time.time())
    good = forger.sign(jti=uuid.uuid4().hex)
    expired = forger.sign(jti=uuid.uuid4().hex, iat=now - 700, nbf=now - 700, exp=now - 60)

    answer = await client.get("/api/alerts/me", headers=bearer(expired))

    assert (await client.get("/api/alerts/me", headers=bearer(good))).status_code == 200
    read_error(answer, 401, "TOKEN_EXPIRED")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"typ": "refresh"},
        {"sub": 42},
        {"sub": ""},
        {"nbf": 2**33},
        {"exp": "x"},
    ],
)
async def test_a_token_of_ours_for_something_else_is_401(
    client: httpx.AsyncClient, forger: Forger, claims: dict[str, Any]
) -> None:
    answer = await client.get("/api/alerts/me", headers=bearer(forger.sign(**claims)))

    assert read_error(answer, 401, "AUTH_REQUIRED")["message"] == TOKEN_REQUIRED


async def test_a_token_that_auth_has_not_signed_is_401(client: httpx.AsyncClient, forger: Forger) -> None:
    header, payload, signature = forger.sign().split(".")
    unsigned = jwt.encode(forger.claims, "", algorithm="none", headers={"kid": forger.key_id})
    symmetric = jwt.encode(forger.claims, "k" * 32, algorithm="HS256", headers={"kid": forger.key_id})
    unknown_key = jwt.encode(forger.claims, forger.key_file.read_bytes(), algorithm="EdDSA", headers={"kid": "other"})
    forged = f"{header}.{payload}.{signature[::-1]}"

    for token in (unsigned, symmetric, unknown_key, forged, f"{header}.{payload}."):
        read_error(await client.get("/api/alerts/me", headers=bearer(token)), 401, "AUTH_REQUIRED")


# --- refresh ------------------------------------------------------------------------------------------------------


async def test_a_refresh_token_is_exchanged_for_the_next_ones(client: httpx.AsyncClient, account: Account) -> None:
    answer = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})

    session = read(Session, answer)
    assert str(session["user"]["id"]) == account.user_id
    assert session["tokens"]["refresh_token"] != account.refresh_token
    assert session["tokens"]["expires_in"] == PASSWORD_LIFETIME_SECONDS
    assert (await client.get("/api/auth/user/me", headers=bearer(session["access_token"]))).status_code == 200


async def test_using_a_refresh_token_again_revokes_its_family(client: httpx.AsyncClient, account: Account) -> None:
    other_session = await log_in(client, account)
    first = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})
    newest = read(Session, first)["tokens"]

    again = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})

    read_error(again, 401, "INVALID_CREDENTIALS")
    await refused_with(client, newest["access_token"], "TOKEN_REVOKED")
    await refused_with(client, account.token, "TOKEN_REVOKED")
    of_the_family = await client.post("/api/auth/refresh", json={"refresh_token": newest["refresh_token"]})
    read_error(of_the_family, 401, "INVALID_CREDENTIALS")
    assert (await client.get("/api/auth/user/me", headers=bearer(other_session["access_token"]))).status_code == 200


async def test_what_is_no_refresh_token_is_401(client: httpx.AsyncClient, account: Account) -> None:
    for token in ("x", account.token[:512], account.refresh_token[:-1]):
        answer = await client.post("/api/auth/refresh", json={"refresh_token": token})

        read_error(answer, 401, "INVALID_CREDENTIALS")
    assert (await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})).status_code == 200


# --- log out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, bearer("not-a-token")])
async def test_logging_out_without_a_good_token_is_200(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    read(LoggedOut, await client.post("/api/auth/logout", headers=headers))


async def test_logging_out_revokes_the_session_and_no_other(client: httpx.AsyncClient, account: Account) -> None:
    other_session = await log_in(client, account)
    client.cookies.clear()

    answer = await client.post("/api/auth/logout", headers=account.bearer)

    read(LoggedOut, answer)
    cleared = [line for line in answer.headers.get_list("Set-Cookie") if line.startswith(f"{TOKEN_COOKIE}=")]
    assert len(cleared) == 1
    assert "Max-Age=0" in cleared[0]
    await refused_with(client, account.token, "TOKEN_REVOKED")
    refreshed = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})
    read_error(refreshed, 401, "INVALID_CREDENTIALS")
    assert (await client.get("/api/auth/user/me", headers=bearer(other_session["access_token"]))).status_code == 200


async def test_logging_out_twice_is_200(client: httpx.AsyncClient, account: Account) -> None:
    for _ in range(2):
        read(LoggedOut, await client.post("/api/auth/logout", headers=account.bearer))


# --- profile ------------------------------------------------------------------------------------------------------


async def test_a_profile_is_read_by_id_and_by_me(client: httpx.AsyncClient, account: Account) -> None:
    by_id = await client.get(f"/api/auth/user/{account.user_id}", headers=account.bearer)
    by_me = await client.get("/api/auth/user/me", headers=account.bearer)

    assert read(Profile, by_id) == read(Profile, by_me)
    assert read(Profile, by_id)["user"]["email"] == account.email


@pytest.mark.parametrize("user_id", ["999999999", "google_user_id", "ME", "-1", "1e3", "%20", "%00", "%2e%2e"])
async def test_anybody_elses_data_is_403_whether_they_exist_or_not(
    client: httpx.AsyncClient, account: Account, user_id: str
) -> None:
    for path in (f"/api/auth/user/{user_id}", f"/api/alerts/{user_id}"):
        answer = await client.get(path, headers=account.bearer)

        assert read_error(answer, 403)["message"] == OWN_DATA_ONLY


async def test_the_data_of_a_user_who_exists_is_403_too(suite: RunningSuite, account: Account) -> None:
    async with gateway_client(suite.gateway_url) as client:
        other = await register(client)
        for path in (f"/api/auth/user/{other.user_id}", f"/api/alerts/{other.user_id}"):
            answer = await client.get(path, headers=account.bearer)

            assert read_error(answer, 403)["message"] == OWN_DATA_ONLY
        written = await client.post(
            f"/api/alerts/{other.user_id}",
            json={"type": "buy", "symbol": "AAPL", "price": 1},
            headers=account.bearer,
        )
        read_error(written, 403)


async def test_an_id_is_compared_as_text(client: httpx.AsyncClient, account: Account) -> None:
    for user_id in (f"0{account.user_id}", f"+{account.user_id}", f"{account.user_id}.0", f"{account.user_id}%20"):
        read_error(await client.get(f"/api/auth/user/{user_id}", headers=account.bearer), 403)
