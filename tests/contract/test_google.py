"""Google's sign-in as I and the contract have it, against a stand-in that publishes keys and signs ID tokens."""

from typing import Any

import httpx
import jwt
import pytest

from contract.documents import GOOGLE_LOGIN, OWN_DATA_ONLY, Session, read, read_error
from contract.people_documents import GOOGLE_LIFETIME_SECONDS, GoogleSession
from contract.vendors import Vendors
from harness.clients import PASSWORD, Account
from upstreams.google import SUBJECT


async def log_in(client: httpx.AsyncClient, vendors: Vendors, **claims: Any) -> httpx.Response:
    claims = {"name": "John Doe", "email": "user@gmail.com", **claims}
    body = {"user": {**GOOGLE_LOGIN["user"], "id": SUBJECT}, "token": vendors.google.upstream.id_token(**claims)}  # type: ignore[dict-item]
    answer = await client.post("/api/auth/login", json=body)
    client.cookies.clear()
    return answer


def bearer(session: GoogleSession) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def test_the_documented_answer(client: httpx.AsyncClient, vendors: Vendors) -> None:
    session = read(GoogleSession, await log_in(client, vendors))

    assert (session["user"]["id"], session["user"]["email"]) == (SUBJECT, "user@gmail.com")
    assert session["tokens"]["access_token"] == session["access_token"]
    assert session["tokens"]["expires_in"] == GOOGLE_LIFETIME_SECONDS
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == GOOGLE_LIFETIME_SECONDS


async def test_the_clients_own_words_about_the_user_are_not_believed(
    client: httpx.AsyncClient, vendors: Vendors
) -> None:
    session = read(GoogleSession, await log_in(client, vendors, name="Asha Rao", email="asha@example.com"))

    assert (session["user"]["name"], session["user"]["email"]) == ("Asha Rao", "asha@example.com")


async def test_the_user_may_be_left_out(client: httpx.AsyncClient, vendors: Vendors) -> None:
    token = vendors.google.upstream.id_token()

    read(GoogleSession, await client.post("/api/auth/login", json={"token": token}))


async def test_another_user_than_the_tokens_is_refused(client: httpx.AsyncClient, vendors: Vendors) -> None:
    body = {"user": {"id": "110169484474386270000"}, "token": vendors.google.upstream.id_token()}

    read_error(await client.post("/api/auth/login", json=body), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("user", [{"id": 5}, {"id": None, "score": 1.5, "nested": [{"a": None}, 2.5e3]}, {}, None])
async def test_a_token_that_is_none_is_refused_whatever_the_user_is(client: httpx.AsyncClient, user: Any) -> None:
    answer = await client.post("/api/auth/login", json={"token": "google_id_token", "user": user})

    assert answer.status_code in (400, 401)
    read_error(answer, answer.status_code)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "claims",
    [{"aud": "somebody-else"}, {"iss": "https://example.com"}, {"exp": 1}, {"email_verified": False}, {"sub": ...}],
)
async def test_a_token_for_others_is_refused(
    client: httpx.AsyncClient, vendors: Vendors, claims: dict[str, Any]
) -> None:
    read_error(await log_in(client, vendors, **claims), 401, "INVALID_CREDENTIALS")


async def test_an_id_is_text_all_the_way(client: httpx.AsyncClient, vendors: Vendors) -> None:
    session = read(GoogleSession, await log_in(client, vendors))

    own = await client.get(f"/api/auth/user/{SUBJECT}", headers=bearer(session))
    other = await client.get(f"/api/auth/user/{SUBJECT[:-1]}5", headers=bearer(session))

    assert own.json()["user"]["id"] == SUBJECT
    assert read_error(other, 403)["message"] == OWN_DATA_ONLY


async def test_one_address_does_not_link_two_accounts(
    client: httpx.AsyncClient, vendors: Vendors, account: Account
) -> None:
    google = read(GoogleSession, await log_in(client, vendors, email=account.email))

    by_password = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})

    assert str(read(Session, by_password)["user"]["id"]) == account.user_id != google["user"]["id"]
