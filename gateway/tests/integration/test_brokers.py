"""The server-wide broker sessions: public statuses, and activation for administrators."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bourse.brokers.v1 import brokers_pb2
from bourse.brokers.v1 import sessions_pb2 as pb
from chassis.errors import Code

ZERODHA, ICICI = "/zerodha/activate", "/icici/activate"
ZERODHA_BODY = {"api_key": "demo-key", "api_secret": "demo-secret", "request_token": "demo-token"}
ICICI_BODY = {"api_session": "demo-session"}
ACTIVATIONS = [(ZERODHA, ZERODHA_BODY), (ICICI, ICICI_BODY)]


def open_session(broker: Any, **fields: Any) -> pb.SessionStatus:
    status = pb.SessionStatus(broker=broker, initialized=True, valid=True, feed=pb.FEED_STATE_LIVE, **fields)
    status.set_at.FromDatetime(datetime(2026, 4, 7, 2, 30, tzinfo=UTC))
    status.expires_at.FromDatetime(datetime(2026, 4, 8, 0, 30, tzinfo=UTC))
    return status


async def test_zerodhas_status_has_the_documented_fields(running: Any) -> None:
    status = open_session(brokers_pb2.BROKER_ZERODHA, token_type="access_token")
    status.last_tick_at.FromDatetime(datetime(2026, 4, 7, 5, 0, 0, 250_000, tzinfo=UTC))
    running.brokers.statuses[brokers_pb2.BROKER_ZERODHA] = status

    response = await running.http.get("/zerodha/status")

    assert response.json() == {
        "initialized": True,
        "valid": True,
        "token_type": "access_token",
        "set_at": "2026-04-07T02:30:00Z",
        "expires_at": "2026-04-08T00:30:00Z",
        "feed": "live",
        "last_tick_at": "2026-04-07T05:00:00.250000Z",
        "simulated": False,
    }
    assert response.headers["cache-control"] == "no-store"


async def test_icicis_status_has_the_documented_fields(running: Any) -> None:
    running.brokers.statuses[brokers_pb2.BROKER_ICICI] = open_session(brokers_pb2.BROKER_ICICI)

    assert (await running.http.get("/icici/status")).json() == {
        "initialized": True,
        "valid": True,
        "set_at": "2026-04-07T02:30:00Z",
        "expires_at": "2026-04-08T00:30:00Z",
        "feed": "live",
        "last_tick_at": None,
        "simulated": False,
    }


async def test_without_a_session_everything_is_absent(running: Any) -> None:
    nothing = {
        "initialized": False,
        "valid": False,
        "set_at": None,
        "expires_at": None,
        "feed": "off",
        "last_tick_at": None,
        "simulated": False,
    }

    assert (await running.http.get("/icici/status")).json() == nothing
    assert (await running.http.get("/zerodha/status")).json() == {**nothing, "token_type": None}


async def test_a_status_is_asked_for_anew_each_time(running: Any) -> None:
    before = (await running.http.get("/zerodha/status")).json()
    running.brokers.statuses[brokers_pb2.BROKER_ZERODHA] = open_session(brokers_pb2.BROKER_ZERODHA)
    after = (await running.http.get("/zerodha/status")).json()

    assert (before["initialized"], after["initialized"]) == (False, True)


async def test_a_status_is_503_while_brokers_is_away(running: Any) -> None:
    await running.stop_service("brokers")

    response = await running.http.get("/icici/status")

    assert response.status_code == 503
    assert running.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"


# --- activation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), ACTIVATIONS)
async def test_an_administrators_token_opens_a_session(running: Any, path: str, body: dict[str, str]) -> None:
    response = await running.http.post(path, json=body, headers=running.sign_in("1", adm=True))

    (request,) = running.brokers.requests
    assert response.status_code == 200
    assert response.json()["success"] is True
    assert (response.json()["initialized"], response.json()["valid"]) == (True, True)
    assert ("token_type" in response.json()) == (path == ZERODHA)
    assert {name: getattr(request, name) for name in body} == body
    assert (request.caller_is_admin, request.HasField("secret")) == (True, False)


@pytest.mark.parametrize(("path", "body"), ACTIVATIONS)
async def test_the_admin_secret_opens_a_session_without_a_token(running: Any, path: str, body: dict[str, str]) -> None:
    response = await running.http.post(path, json={**body, "secret": running.brokers.admin_secret})

    assert response.status_code == 200
    assert running.brokers.requests[0].caller_is_admin is False


async def test_an_admin_secret_may_be_several_words(running: Any) -> None:
    running.brokers.admin_secret = "correct horse"

    response = await running.http.post(ICICI, json={**ICICI_BODY, "secret": "correct horse"})

    assert response.status_code == 200


@pytest.mark.parametrize(("path", "body"), ACTIVATIONS)
async def test_without_any_proof_it_is_401(running: Any, path: str, body: dict[str, str]) -> None:
    for proof in ({}, {"secret": None}):
        response = await running.http.post(path, json={**body, **proof})

        assert response.status_code == 401
        assert running.error_of(response)["code"] == "AUTH_REQUIRED"
    assert running.brokers.requests == []


@pytest.mark.parametrize(("path", "body"), ACTIVATIONS)
async def test_a_proof_that_is_not_good_enough_is_403(running: Any, path: str, body: dict[str, str]) -> None:
    wrong = await running.http.post(path, json={**body, "secret": "wrong"})
    user = await running.http.post(path, json=body, headers=running.sign_in("42"))

    for response in (wrong, user):
        assert response.status_code == 403
        assert running.error_of(response)["code"] == "ACCESS_DENIED"


@pytest.mark.parametrize("claim", [False, 1, "true", None, [True]])
async def test_only_the_claim_itself_makes_an_administrator(running: Any, claim: Any) -> None:
    response = await running.http.post(ICICI, json=ICICI_BODY, headers=running.sign_in("42", adm=claim))

    assert response.status_code == 403


async def test_a_body_cannot_make_an_administrator(running: Any) -> None:
    body = {**ICICI_BODY, "caller_is_admin": True}

    response = await running.http.post(ICICI, json=body, headers=running.sign_in("42"))

    assert response.status_code == 400
    assert running.brokers.requests == []


async def test_a_bad_token_is_401_beside_the_right_secret(running: Any) -> None:
    body = {**ICICI_BODY, "secret": running.brokers.admin_secret}

    response = await running.http.post(ICICI, json=body, headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 401


async def test_an_administrators_cookie_needs_the_csrf_token(running: Any) -> None:
    token = running.auth.mint("1", adm=True)
    cookies = {"Cookie": f"access_token_cookie={token}; csrf_token=demo"}

    without = await running.http.post(ICICI, json=ICICI_BODY, headers=cookies)
    right = await running.http.post(ICICI, json=ICICI_BODY, headers={**cookies, "X-CSRF-Token": "demo"})

    assert (without.status_code, right.status_code) == (403, 200)


async def test_key_and_secret_of_icici_may_come_along(running: Any) -> None:
    body = {**ICICI_BODY, "api_key": "demo-key", "api_secret": "demo-secret"}

    await running.http.post(ICICI, json=body, headers=running.sign_in("1", adm=True))
    await running.http.post(ICICI, json=ICICI_BODY, headers=running.sign_in("1", adm=True))

    full, short = running.brokers.requests
    assert (full.api_key, full.api_secret) == ("demo-key", "demo-secret")
    assert not short.HasField("api_key")
    assert not short.HasField("api_secret")


@pytest.mark.parametrize(
    "expected",
    [
        (Code.FAILED_PRECONDITION, "BROKER_NOT_CONFIGURED", 400, "INVALID_REQUEST"),
        (Code.UNAUTHENTICATED, "BROKER_TOKEN_INVALID", 401, "BROKER_TOKEN_INVALID"),
        (Code.DEADLINE_EXCEEDED, "BROKER_TIMEOUT", 504, "UPSTREAM_TIMEOUT"),
    ],
    ids=lambda expected: expected[1],
)
async def test_a_failed_activation_has_its_answer(
    running: Any, make_refusal: Any, expected: tuple[Code, str, int, str]
) -> None:
    code, reason, status, name = expected
    running.brokers.failure = make_refusal(code, reason, "it is so")

    response = await running.http.post(ICICI, json=ICICI_BODY, headers=running.sign_in("1", adm=True))

    assert response.status_code == status
    assert running.error_of(response)["code"] == name
    assert running.brokers.calls == ["Activate"]


async def test_an_activation_may_take_longer_than_other_calls(world: Any) -> None:
    await world.open(rpc_deadline_seconds=0.2)
    await world.until_ready()
    world.brokers.delay_seconds = 0.5

    response = await world.http.post(ICICI, json=ICICI_BODY, headers=world.sign_in("1", adm=True))

    assert response.status_code == 200


# --- limits -------------------------------------------------------------------------------------------------------


async def test_guessing_the_admin_secret_is_limited_by_address(world: Any) -> None:
    await world.open(gateway_limit_sync="3/minute")
    await world.until_ready()
    # Neither another broker nor another user is another try.
    tries = [(ZERODHA, ZERODHA_BODY, {}), (ICICI, ICICI_BODY, {}), (f"{ICICI}/", ICICI_BODY, world.sign_in("1"))]
    tries.append((ZERODHA, ZERODHA_BODY, world.sign_in("2")))

    answers = [
        await world.http.post(path, json={**body, "secret": "guess"}, headers=headers) for path, body, headers in tries
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert world.error_of(answers[3])["code"] == "RATE_LIMITED"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert world.brokers.calls.count("Activate") == 3


async def test_syncs_are_limited_by_user(world: Any) -> None:
    await world.open(gateway_limit_sync="2/minute")
    await world.until_ready()
    one, two = world.sign_in("1"), world.sign_in("2")
    icici = {"api_key": "demo-key", "api_secret": "demo-secret", "api_session": "demo-session"}

    answers = [
        await world.http.post("/api/portfolio/sync", json=ZERODHA_BODY, headers=one),
        await world.http.post("/api/portfolio/icici-sync", json=icici, headers=one),
        await world.http.post("/api/portfolio/sync/", json=ZERODHA_BODY, headers=one),
        await world.http.post("/api/portfolio/sync", json=ZERODHA_BODY, headers=two),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert answers[0].headers["ratelimit-limit"] == "2"
    assert (await world.http.get("/api/portfolio/holdings", headers=one)).headers["ratelimit-limit"] == "1200"
