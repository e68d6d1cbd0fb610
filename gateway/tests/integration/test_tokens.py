"""Tokens, cookies and revocations over a real NATS."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bourse.auth.v1 import events_pb2, keys_pb2
from chassis.metrics import value_of
from chassis.testing import NatsServer

CREDENTIALS = {"email": "user@example.com", "password": "correct horse"}
ALERT = {"type": "buy", "symbol": "AAPL", "price": 1.5}


def revocation(**subject: str) -> keys_pb2.Revocation:
    made = keys_pb2.Revocation(**subject)  # type: ignore[arg-type]
    made.expires_at.FromSeconds(int(time.time()) + 3600)
    return made


async def until_status(world: Any, headers: dict[str, str], status: int, *, within: float) -> float:
    started = time.monotonic()
    async with asyncio.timeout(within):
        while (await world.http.get("/api/alerts/me", headers=headers)).status_code != status:
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def sign_in_by_cookie(world: Any) -> None:
    await world.http.post("/api/auth/register", json=CREDENTIALS)
    world.http.cookies.clear()
    response = await world.http.post("/api/auth/login", json=CREDENTIALS)
    assert set(world.http.cookies) == {"access_token_cookie", "csrf_token"}
    token, csrf = response.headers.get_list("set-cookie")
    assert "HttpOnly" in token
    assert "SameSite=lax" in token
    assert "HttpOnly" not in csrf


async def test_a_cookie_signs_in(running: Any) -> None:
    await sign_in_by_cookie(running)

    assert (await running.http.get("/api/auth/user/me")).status_code == 200


async def test_an_unsafe_method_by_cookie_alone_needs_the_csrf_token(running: Any) -> None:
    await sign_in_by_cookie(running)

    without = await running.http.post("/api/alerts/me", json=ALERT)
    wrong = await running.http.post("/api/alerts/me", json=ALERT, headers={"X-CSRF-Token": "x"})
    right = await running.http.post(
        "/api/alerts/me", json=ALERT, headers={"X-CSRF-Token": running.http.cookies["csrf_token"]}
    )

    assert (without.status_code, wrong.status_code, right.status_code) == (403, 403, 200)
    assert "X-CSRF-Token" in running.error_of(without)["message"]
    assert running.error_of(without)["code"] == "ACCESS_DENIED"


async def test_a_bearer_wins_over_the_cookie_and_needs_no_csrf_token(running: Any) -> None:
    await sign_in_by_cookie(running)

    response = await running.http.post("/api/alerts/me", json=ALERT, headers=running.sign_in("77"))

    assert response.status_code == 200
    assert list(running.alerts.alerts) == ["77"]


async def test_a_bad_bearer_is_refused_beside_a_good_cookie(running: Any) -> None:
    await sign_in_by_cookie(running)

    response = await running.http.get("/api/alerts/me", headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 401


async def test_cookies_are_secure_where_the_setting_says_so(world: Any) -> None:
    await world.open(gateway_cookie_secure=True)
    await world.until_ready()

    response = await world.http.post("/api/auth/register", json=CREDENTIALS)

    assert ["Secure" in cookie for cookie in response.headers.get_list("set-cookie")] == [True, True]


async def test_cookies_are_secure_behind_a_proxy_that_speaks_https(world: Any) -> None:
    await world.open(gateway_trusted_proxies="127.0.0.1")
    await world.until_ready()

    response = await world.http.post(
        "/api/auth/register", json=CREDENTIALS, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.9.8.7"}
    )

    assert ["Secure" in cookie for cookie in response.headers.get_list("set-cookie")] == [True, True]


async def test_logging_out_ends_the_session_and_clears_the_cookies(running: Any) -> None:
    response = await running.http.post("/api/auth/logout", headers=running.sign_in("42", sid="s-1", jti="t-1"))

    (ended,) = running.auth.logged_out
    assert response.json() == {"success": True, "message": "Logout successful"}
    assert (ended.user_id, ended.session_id, ended.token_id) == ("42", "s-1", "t-1")
    assert ["Max-Age=0" in cookie for cookie in response.headers.get_list("set-cookie")] == [True, True]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
async def test_logging_out_without_a_good_token_is_200(running: Any, headers: dict[str, str]) -> None:
    response = await running.http.post("/api/auth/logout", headers=headers)

    assert response.status_code == 200
    assert running.auth.logged_out == []


async def test_another_sites_form_does_not_clear_the_cookies(running: Any) -> None:
    # Browsers do not send the cookies along with it, but would take new ones from its answer.
    response = await running.http.post("/api/auth/logout", headers={"Origin": "https://evil.example"})

    assert response.status_code == 200
    assert "set-cookie" not in response.headers


async def test_logging_out_twice_is_200(running: Any) -> None:
    running.auth.revocations.append(revocation(session_id="s-1"))
    headers = running.sign_in("42", sid="s-1")
    await running.publish(
        "events.auth.revoked",
        events_pb2.TokensRevoked(revocations=[revocation(session_id="s-1")]).SerializeToString(),
    )
    await until_status(running, headers, 401, within=1)

    assert (await running.http.post("/api/auth/logout", headers=headers)).status_code == 200


async def test_an_expired_token_says_so(running: Any) -> None:
    headers = running.sign_in("42", exp=int(time.time()) - 60)

    response = await running.http.get("/api/alerts/me", headers=headers)

    assert response.status_code == 401
    assert running.error_of(response)["code"] == "TOKEN_EXPIRED"


async def test_a_revocation_told_on_nats_is_in_force_within_a_second(running: Any) -> None:
    headers = running.sign_in("42", sid="s-1")
    await until_status(running, headers, 200, within=1)
    told = events_pb2.TokensRevoked(revocations=[revocation(session_id="s-1")])

    await running.publish("events.auth.revoked", told.SerializeToString())

    assert await until_status(running, headers, 401, within=1) < 1
    response = await running.http.get("/api/alerts/me", headers=headers)
    assert running.error_of(response)["code"] == "TOKEN_REVOKED"


async def test_what_was_revoked_before_the_gateway_started_is_refused(world: Any) -> None:
    world.auth.revocations.append(revocation(token_id="t-1"))
    await world.open()
    await world.until_ready()

    response = await world.http.get("/api/alerts/me", headers=world.sign_in("42", jti="t-1"))

    assert world.error_of(response)["code"] == "TOKEN_REVOKED"


async def test_more_revocations_than_one_message_holds_are_all_known(world: Any) -> None:
    expires_at = revocation(session_id="last").expires_at
    sessions = [*(f"{number:022}" for number in range(125_000)), "last"]
    world.auth.revocations = [keys_pb2.Revocation(session_id=each, expires_at=expires_at) for each in sessions]
    await world.open()
    await world.until_ready()

    response = await world.http.get("/api/alerts/me", headers=world.sign_in("42", sid="last"))

    assert world.error_of(response)["code"] == "TOKEN_REVOKED"
    assert (await world.http.get("/api/alerts/me", headers=world.sign_in("42"))).status_code == 200


async def test_while_nats_is_lost_auth_is_asked(make_world: Any, tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    async with make_world(server) as world:
        await world.open()
        await world.until_ready()
        headers = world.sign_in("42", sid="s-1")
        await until_status(world, headers, 200, within=1)
        server.kill()
        world.auth.revocations.append(revocation(session_id="s-1"))

        assert await until_status(world, headers, 401, within=4) < 3


async def test_where_nats_answers_and_auth_is_not_heard_auth_is_asked(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.security.SETTLING_SECONDS", 0.0)
    monkeypatch.setattr("gateway.security.BEAT_SILENCE_SECONDS", 1.5)
    lost = value_of("bourse_revocations_unheard_total") or 0
    world.auth.is_beating = True
    await world.open()
    await world.until_ready()
    for _ in range(10):
        await world.publish("control.auth.beat", b"")
        await asyncio.sleep(0.1)
    headers = world.sign_in("42", sid="s-1")
    await until_status(world, headers, 200, within=5)

    world.auth.revocations.append(revocation(session_id="s-1"))

    # It would ask by itself after a minute.
    await until_status(world, headers, 401, within=30)
    assert (value_of("bourse_revocations_unheard_total") or 0) > lost


async def test_a_gateway_that_never_reached_auth_lets_nobody_in(world: Any) -> None:
    headers = world.sign_in("42")
    await world.stop_service("auth")
    await world.open()

    response = await world.http.get("/api/alerts/me", headers=headers)
    ready = await world.http.get("/readyz")

    assert response.status_code == 503
    assert world.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"
    assert response.headers["retry-after"] == "1"
    assert ready.status_code == 503
    assert (await world.http.get("/api/index/snapshot")).status_code == 200
    await world.start_service("auth")
    await until_status(world, headers, 200, within=6)


async def test_a_rotated_key_is_met_without_a_restart(running: Any) -> None:
    running.auth.keys["key-2"] = Ed25519PrivateKey.generate()

    response = await running.http.get("/api/alerts/me", headers=running.sign_in("42", key_id="key-2"))

    assert response.status_code == 200


async def test_a_bad_token_does_not_close_public_routes(running: Any) -> None:
    response = await running.http.get("/api/index/snapshot", headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 200


async def test_the_token_is_in_no_log(running: Any, caplog: pytest.LogCaptureFixture) -> None:
    headers = running.sign_in("42")
    running.alerts.failure = RuntimeError("bug")
    await running.http.get("/api/alerts/me", headers=headers)
    await running.http.post("/api/auth/login", json=CREDENTIALS)

    assert headers["Authorization"].split(".")[1] not in caplog.text
    assert CREDENTIALS["password"] not in caplog.text
