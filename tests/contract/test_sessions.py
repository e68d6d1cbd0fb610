"""Sessions and the end of an account, which the contract adds."""

import asyncio
import uuid

import httpx

from contract.documents import Session, read, read_error
from contract.people_documents import Done, Sessions
from harness.clients import PASSWORD, Account, register


async def another_session(client: httpx.AsyncClient, account: Account) -> dict[str, str]:
    answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    client.cookies.clear()
    return {"Authorization": f"Bearer {read(Session, answer)['access_token']}"}


async def until_refused(client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    # Of a deleted account, for the second that its revocation may take, the token is good and the user not found.
    async with asyncio.timeout(2):
        while (answer := await client.get("/api/auth/user/me", headers=headers)).status_code in (200, 404):
            await asyncio.sleep(0.02)
    return answer


async def test_sessions_are_listed_newest_first_and_ones_own_is_marked(
    client: httpx.AsyncClient, account: Account
) -> None:
    second = await another_session(client, account)

    sessions = read(Sessions, await client.get("/api/auth/sessions", headers=second))["sessions"]

    assert [each["is_current"] for each in sessions] == [True, False]
    assert sessions[0]["created_at"] >= sessions[1]["created_at"]


async def test_a_revoked_session_is_over_and_the_others_are_not(client: httpx.AsyncClient, account: Account) -> None:
    second = await another_session(client, account)
    sessions = read(Sessions, await client.get("/api/auth/sessions", headers=second))["sessions"]
    first_id = next(each["id"] for each in sessions if not each["is_current"])

    read(Done, await client.delete(f"/api/auth/sessions/{first_id}", headers=second))

    read_error(await until_refused(client, account.bearer), 401, "TOKEN_REVOKED")
    assert (await client.get("/api/auth/user/me", headers=second)).status_code == 200
    refresh = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})
    read_error(refresh, 401, "INVALID_CREDENTIALS")
    left = read(Sessions, await client.get("/api/auth/sessions", headers=second))["sessions"]
    assert [each["is_current"] for each in left] == [True]
    read_error(await client.delete(f"/api/auth/sessions/{first_id}", headers=second), 404)


async def test_anothers_session_counts_as_unknown(client: httpx.AsyncClient, account: Account) -> None:
    other = await register(client)
    [session] = read(Sessions, await client.get("/api/auth/sessions", headers=other.bearer))["sessions"]

    read_error(await client.delete(f"/api/auth/sessions/{session['id']}", headers=account.bearer), 404)
    read_error(await client.delete(f"/api/auth/sessions/{uuid.uuid4().hex}", headers=account.bearer), 404)

    assert (await client.get("/api/auth/user/me", headers=other.bearer)).status_code == 200


async def test_a_deleted_account_is_gone(client: httpx.AsyncClient, account: Account) -> None:
    read(Done, await client.delete(f"/api/auth/user/{account.user_id}", headers=account.bearer))

    read_error(await until_refused(client, account.bearer), 401, "TOKEN_REVOKED")
    answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
    read_error(answer, 401, "INVALID_CREDENTIALS")
    again = await client.post("/api/auth/register", json={"email": account.email, "password": PASSWORD})
    client.cookies.clear()
    assert str(read(Session, again, 201)["user"]["id"]) != account.user_id


async def test_only_the_owner_deletes_an_account(client: httpx.AsyncClient, account: Account) -> None:
    other = await register(client)

    read_error(await client.delete(f"/api/auth/user/{account.user_id}", headers=other.bearer), 403)
    read_error(await client.delete(f"/api/auth/user/{account.user_id}"), 401)

    assert (await client.get("/api/auth/user/me", headers=account.bearer)).status_code == 200
