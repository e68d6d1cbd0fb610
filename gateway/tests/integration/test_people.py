"""Signing in with Google, sessions, recovery and the end of an account, over a real server and real gRPC."""

import logging
from typing import Any

import pytest

from bourse.auth.v1 import accounts_pb2
from chassis.errors import Code

CREDENTIALS = {"email": "user@example.com", "password": "correct horse"}
GOOGLE_ID = "117203948571029384756"
SECRET = "an-id-token-that-nobody-may-read"


@pytest.fixture
async def person(running: Any) -> Any:
    """The world, with an account that has one session."""
    response = await running.http.post("/api/auth/register", json=CREDENTIALS)
    assert response.status_code == 201
    running.http.cookies.clear()
    return running


def google_user() -> accounts_pb2.User:
    user = accounts_pb2.User(
        id=GOOGLE_ID,
        identity_provider=accounts_pb2.IDENTITY_PROVIDER_GOOGLE,
        email="user@gmail.com",
        name="John Doe",
        picture="https://lh3.googleusercontent.com/a/x",
        is_email_verified=True,
    )
    user.created_at.FromSeconds(1_775_552_400)
    return user


async def log_in_with_google(world: Any, *said: Any, token: str = SECRET) -> Any:
    body = {"token": token, "user": said[0]} if said else {"token": token}
    return await world.http.post("/api/auth/login", json=body)


# --- Google -------------------------------------------------------------------------------------------------------


async def test_the_documented_login_with_google(running: Any) -> None:
    running.auth.google = {SECRET: google_user()}
    said = {"id": GOOGLE_ID, "email": "liar@example.com", "name": "Somebody Else", "picture": "https://x", "more": [1]}

    response = await log_in_with_google(running, said)

    body = response.json()
    assert response.status_code == 200
    assert (body["success"], body["message"]) == (True, "Login successful")
    assert body["user"] == {
        "id": GOOGLE_ID,
        "email": "user@gmail.com",
        "email_verified": True,
        "name": "John Doe",
        "picture": "https://lh3.googleusercontent.com/a/x",
        "created_at": "2026-04-07T09:00:00Z",
    }
    assert body["access_token"] == body["tokens"]["access_token"]
    assert "access_token_cookie" in response.cookies
    assert running.auth.google_requests[0].expected_user_id == GOOGLE_ID
    assert running.auth.google_requests[0].client_address == "127.0.0.1"


@pytest.mark.parametrize("said", [[], [None], [{}], [{"email": "a@b.c"}]])
async def test_who_says_no_id_is_believed_to_be_the_tokens(running: Any, said: list[Any]) -> None:
    running.auth.google = {SECRET: google_user()}

    response = await log_in_with_google(running, *said)

    assert response.status_code == 200
    assert running.auth.google_requests[0].expected_user_id == ""


@pytest.mark.parametrize("user_id", [117203948571029384756, 1.5, None, True, ["1"], {"id": "1"}, "", "x" * 256])
async def test_an_id_that_is_no_text_is_400(running: Any, user_id: Any) -> None:
    response = await log_in_with_google(running, {"id": user_id})

    assert response.status_code == 400
    assert running.error_of(response)["message"].startswith("user.id: ")
    assert running.auth.google_requests == []


async def test_a_user_that_is_no_object_is_400(running: Any) -> None:
    users: tuple[Any, ...] = ("me", [], 5)
    for user in users:
        assert (await log_in_with_google(running, user)).status_code == 400


async def test_another_user_than_the_tokens_is_401(running: Any) -> None:
    running.auth.google = {SECRET: google_user()}

    response = await log_in_with_google(running, {"id": "1"})

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "INVALID_CREDENTIALS"
    assert "set-cookie" not in response.headers


async def test_a_token_that_is_no_good_is_401(running: Any) -> None:
    running.auth.google = {}

    response = await log_in_with_google(running)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "INVALID_CREDENTIALS"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_without_configuration_it_is_503_for_a_long_time(running: Any) -> None:
    response = await log_in_with_google(running)

    assert response.status_code == 503
    assert running.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"
    assert response.headers["retry-after"] == "3600"


async def test_googles_keys_out_of_reach_are_503_for_as_long_as_auth_says(running: Any, make_refusal: Any) -> None:
    running.auth.failure = make_refusal(Code.UNAVAILABLE, "GOOGLE_UNAVAILABLE", "Google's keys are out of reach", 10.0)

    response = await log_in_with_google(running)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "10"


async def test_an_account_that_was_just_deleted_is_403(running: Any) -> None:
    running.auth.google = {SECRET: google_user()}
    running.auth.deleted.add(GOOGLE_ID)

    response = await log_in_with_google(running)

    assert response.status_code == 403
    error = running.error_of(response)
    assert (error["code"], error["message"]) == ("ACCESS_DENIED", "This account was deleted")


async def test_an_id_of_google_is_never_read_as_a_number(running: Any) -> None:
    running.auth.google = {SECRET: google_user()}
    token = (await log_in_with_google(running)).json()["access_token"]
    running.http.cookies.clear()
    headers = {"Authorization": f"Bearer {token}"}

    own = await running.http.get(f"/api/auth/user/{GOOGLE_ID}", headers=headers)
    other = await running.http.get(f"/api/auth/user/{GOOGLE_ID[:-1]}7", headers=headers)

    assert own.json()["user"]["id"] == GOOGLE_ID
    assert other.status_code == 403


# --- sessions -----------------------------------------------------------------------------------------------------


async def test_sessions_are_listed_and_the_callers_own_is_marked(person: Any) -> None:
    login = await person.http.post("/api/auth/login", json=CREDENTIALS)
    person.http.cookies.clear()

    response = await person.http.get(
        "/api/auth/sessions", headers={"Authorization": f"Bearer {login.json()['access_token']}"}
    )

    body = response.json()
    assert body["success"] is True
    assert [(each["opened_from"], each["is_current"]) for each in body["sessions"]] == [
        ("password", True),
        ("register", False),
    ]
    assert body["sessions"][1] == {
        "id": "session-42",
        "created_at": "2026-04-07T09:00:00Z",
        "expires_at": "2026-05-07T09:00:00Z",
        "opened_from": "register",
        "is_current": False,
    }


async def test_a_session_is_revoked_once(person: Any) -> None:
    headers = person.sign_in("42", sid="another")

    first = await person.http.delete("/api/auth/sessions/session-42", headers=headers)
    again = await person.http.delete("/api/auth/sessions/session-42", headers=headers)

    assert (first.status_code, first.json()) == (200, {"success": True, "message": "Session revoked"})
    assert again.status_code == 404
    assert person.auth.sessions["42"] == []
    assert "set-cookie" not in first.headers


async def test_anothers_session_counts_as_unknown(person: Any) -> None:
    response = await person.http.delete("/api/auth/sessions/session-42", headers=person.sign_in("43"))

    assert response.status_code == 404
    assert len(person.auth.sessions["42"]) == 1


async def test_revoking_ones_own_session_clears_its_cookies(person: Any) -> None:
    await person.http.post("/api/auth/login", json=CREDENTIALS)
    sessions = (await person.http.get("/api/auth/sessions")).json()["sessions"]
    csrf = {"X-CSRF-Token": person.http.cookies["csrf_token"]}

    forged = await person.http.delete(f"/api/auth/sessions/{sessions[0]['id']}")
    response = await person.http.delete(f"/api/auth/sessions/{sessions[0]['id']}", headers=csrf)

    assert forged.status_code == 403
    assert response.status_code == 200
    assert dict(person.http.cookies) == {}


# --- the end of an account ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["me", "42"])
async def test_an_account_is_deleted(person: Any, user_id: str) -> None:
    response = await person.http.delete(f"/api/auth/user/{user_id}", headers=person.sign_in("42"))

    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Account deleted"})
    assert person.auth.users == {}
    assert (await person.http.get("/api/auth/user/me", headers=person.sign_in("42"))).status_code == 404


async def test_a_deleted_account_takes_its_cookies_along(person: Any) -> None:
    await person.http.post("/api/auth/login", json=CREDENTIALS)

    forged = await person.http.delete("/api/auth/user/me")
    assert person.auth.users
    response = await person.http.delete(
        "/api/auth/user/me", headers={"X-CSRF-Token": person.http.cookies["csrf_token"]}
    )

    assert (forged.status_code, response.status_code) == (403, 200)
    assert dict(person.http.cookies) == {}


async def test_an_account_that_could_not_be_deleted_keeps_its_cookies(person: Any, make_refusal: Any) -> None:
    await person.http.post("/api/auth/login", json=CREDENTIALS)
    person.auth.failure = make_refusal(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not answering", 1.0)

    response = await person.http.delete(
        "/api/auth/user/me", headers={"X-CSRF-Token": person.http.cookies["csrf_token"]}
    )

    assert response.status_code == 503
    assert "access_token_cookie" in person.http.cookies


async def test_nobody_deletes_anybody_else(person: Any) -> None:
    stranger = await person.http.delete("/api/auth/user/42", headers=person.sign_in("43"))
    nobody = await person.http.delete("/api/auth/user/42")

    assert (stranger.status_code, nobody.status_code) == (403, 401)
    assert person.auth.users


# --- forgotten passwords and verified addresses -------------------------------------------------------------------


async def test_a_forgotten_password_is_answered_alike_for_everybody(person: Any) -> None:
    known = await person.http.post("/api/auth/password/forgot", json={"email": CREDENTIALS["email"]})
    unknown = await person.http.post("/api/auth/password/forgot", json={"email": "nobody@example.com"})

    assert known.status_code == unknown.status_code == 200
    assert known.content == unknown.content
    assert known.json() == {"success": True, "message": "If there is such an account, a mail is on its way"}
    assert list(person.auth.mailed) == [("reset", "42")]
    assert person.auth.reset_requests[0].client_address == "127.0.0.1"


async def test_a_password_is_set_with_a_mails_token_once(person: Any) -> None:
    await person.http.post("/api/auth/password/forgot", json={"email": CREDENTIALS["email"]})
    body = {"token": person.auth.mailed["reset", "42"][0], "password": "a new password"}

    first = await person.http.post("/api/auth/password/reset", json=body)
    again = await person.http.post("/api/auth/password/reset", json=body)
    log_in = await person.http.post("/api/auth/login", json={**CREDENTIALS, "password": "a new password"})

    assert (first.status_code, first.json()["success"]) == (200, True)
    assert first.json()["message"] == "Password set; log in with it"
    assert again.status_code == 400
    assert person.error_of(again)["message"] == "The link is unknown, used or expired"
    assert log_in.status_code == 200


async def test_an_address_is_verified_with_a_mails_token(person: Any) -> None:
    token = person.auth.mail("verify", "42")

    response = await person.http.post("/api/auth/email/verify", json={"token": token})

    assert response.status_code == 200
    assert response.json()["message"] == "E-mail address verified"
    assert (response.json()["user"]["id"], response.json()["user"]["email_verified"]) == (42, True)
    assert (await person.http.post("/api/auth/email/verify", json={"token": token})).status_code == 400


async def test_another_verification_is_sent_until_the_address_is_verified(person: Any) -> None:
    headers = person.sign_in("42")
    first = await person.http.post("/api/auth/email/verification/me", headers=headers)
    (token,) = person.auth.mailed["verify", "42"]
    await person.http.post("/api/auth/email/verify", json={"token": token})
    again = await person.http.post("/api/auth/email/verification/42", headers=headers)

    assert first.json() == {"success": True, "message": "A mail is on its way"}
    assert again.json() == {"success": True, "message": "The address is verified already"}
    assert person.auth.mailed["verify", "42"] == []


async def test_too_many_mails_to_one_network_are_429(person: Any, make_refusal: Any) -> None:
    person.auth.failure = make_refusal(Code.RESOURCE_EXHAUSTED, "RECOVERY_THROTTLED", "too many mails", 120.0)

    forgot = await person.http.post("/api/auth/password/forgot", json={"email": "a@example.com"})

    assert forgot.status_code == 429
    assert forgot.headers["retry-after"] == "120"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/auth/password/forgot", {}),
        ("/api/auth/password/forgot", {"email": 5}),
        ("/api/auth/password/forgot", {"email": "no address"}),
        ("/api/auth/password/forgot", {"email": "a" * 255}),
        ("/api/auth/password/forgot", {"email": "a@example.com", "more": 1}),
        ("/api/auth/password/reset", {"token": "x" * 43}),
        ("/api/auth/password/reset", {"token": "x" * 43, "password": "short"}),
        ("/api/auth/password/reset", {"token": "x" * 43, "password": "x" * 1025}),
        ("/api/auth/password/reset", {"token": "x" * 129, "password": "long enough"}),
        ("/api/auth/password/reset", {"token": 5, "password": "long enough"}),
        ("/api/auth/email/verify", {}),
        ("/api/auth/email/verify", {"token": ""}),
        ("/api/auth/email/verify", {"token": None}),
        ("/api/auth/email/verify", {"token": "unknown"}),
    ],
)
async def test_what_cannot_be_is_400(person: Any, path: str, body: dict[str, Any]) -> None:
    response = await person.http.post(path, json=body)

    assert response.status_code == 400
    assert person.error_of(response)["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions/session-42"),
        ("DELETE", "/api/auth/user/me"),
        ("POST", "/api/auth/email/verification/me"),
    ],
)
async def test_what_is_ones_own_needs_a_token(person: Any, method: str, path: str) -> None:
    response = await person.http.request(method, path)

    assert response.status_code == 401
    assert person.error_of(response)["code"] == "AUTH_REQUIRED"


async def test_a_cookie_alone_asks_for_no_verification(person: Any) -> None:
    await person.http.post("/api/auth/login", json=CREDENTIALS)

    response = await person.http.post("/api/auth/email/verification/me")

    assert response.status_code == 403
    assert person.auth.mailed == {}


async def test_nobody_has_anybody_else_verified(person: Any) -> None:
    response = await person.http.post("/api/auth/email/verification/42", headers=person.sign_in("43"))

    assert response.status_code == 403
    assert person.auth.mailed == {}


# --- limits and secrets -------------------------------------------------------------------------------------------

RECOVERIES = {
    "/api/auth/password/forgot": {"email": "user@example.com"},
    "/api/auth/password/reset": {"token": "x" * 43, "password": "long enough"},
    "/api/auth/email/verify": {"token": "x" * 43},
    f"/api/email/unsubscribe?token={'x' * 43}&list=alerts": {},
}


@pytest.mark.parametrize(("path", "body"), RECOVERIES.items())
async def test_what_works_without_a_password_is_limited_by_address(world: Any, path: str, body: dict[str, Any]) -> None:
    await world.open(gateway_limit_recovery="2/minute")
    await world.until_ready()
    callers: tuple[dict[str, str], ...] = ({}, world.sign_in("1"), world.sign_in("2"))

    answers = [await world.http.post(path, json=body, headers=headers) for headers in callers]

    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert world.error_of(answers[2])["code"] == "RATE_LIMITED"
    assert int(answers[2].headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/api/auth/email/verification", "/api/email/portfolio-summary"])
async def test_mails_on_demand_are_limited_by_user(world: Any, path: str) -> None:
    await world.open(gateway_limit_mail="2/minute")
    await world.until_ready()
    one, two = world.sign_in("1"), world.sign_in("2")
    calls = [(f"{path}/1", one), (f"{path}/me", one), (f"{path}/me/", one), (f"{path}/me", two)]

    answers = [await world.http.post(where, headers=headers) for where, headers in calls]

    assert [answer.status_code == 429 for answer in answers] == [False, False, True, False]


async def test_no_secret_is_logged_or_answered(person: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    person.auth.google = {}
    secret = "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U"
    answers = [
        await log_in_with_google(person, token=secret),
        await log_in_with_google(person, {"id": [secret]}),
        await person.http.post("/api/auth/password/reset", json={"token": secret, "password": secret}),
        await person.http.post("/api/auth/password/reset", json={"token": [secret], "password": secret[:7]}),
        await person.http.post("/api/auth/email/verify", json={"token": secret, secret: 1}),
        await person.http.post("/api/auth/email/verify", json={"token": secret}),
    ]

    assert [answer.status_code for answer in answers] == [401, 400, 400, 400, 400, 400]
    said = "".join(answer.text for answer in answers[:4]) + answers[5].text
    assert secret[:8] not in said
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert not any(secret[:8] in str(vars(record)) for record in ours)
