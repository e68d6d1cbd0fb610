"""More than the gateway may work on: who is refused, who is not, and when a place is given back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from chassis.errors import Code
from chassis.metrics import value_of

POLICY = "public, max-age=60"
PLACES = 4
SLOW = "/api/alerts/me"
KEPT = "/api/index/snapshot"


def in_flight() -> float:
    return value_of("bourse_http_in_flight") or 0.0


def requests(route: str, status: int, method: str = "GET") -> float:
    return value_of("bourse_http_requests_total", {"route": route, "method": method, "status": str(status)}) or 0.0


def calls_given_up() -> float:
    labels = {"service": "bourse.alerts.v1.AlertService", "method": "ListAlerts", "code": "CANCELLED"}
    return value_of("bourse_rpc_calls_total", labels) or 0.0


async def until_asked(world: Any) -> None:
    async with asyncio.timeout(5):
        while not world.alerts.calls:
            await asyncio.sleep(0.005)


async def until_in_flight(count: int) -> None:
    async with asyncio.timeout(5):
        while in_flight() != count:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def full(
    world: Any, path: str = SLOW, *, places: int = 3
) -> AsyncIterator[Sequence[asyncio.Task[httpx.Response]]]:
    """Have `places` requests wait for a service, by default as many as one service may have of four."""
    headers = world.sign_in()
    asking = [asyncio.create_task(world.http.get(path, headers=headers)) for _ in range(places)]
    try:
        await until_in_flight(places)
        yield asking
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


@pytest.fixture
async def slow(world: Any) -> Any:
    """A gateway with four places, before services that take their time."""
    world.market.cache_control = POLICY
    await world.open(gateway_max_in_flight=PLACES)
    await world.until_ready()
    await world.http.get(KEPT)
    world.alerts.delay_seconds = world.market.delay_seconds = 1.0
    return world


async def fill(world: Any, stack: Any) -> None:
    """Take all four places, three by waiting for alerts and one by waiting for market."""
    await stack.enter_async_context(full(world))
    asking = asyncio.create_task(world.http.get("/api/stock/price/AAPL"))
    stack.push_async_callback(asyncio.gather, asking, return_exceptions=True)
    await until_in_flight(PLACES)


@pytest.fixture
async def crowded(slow: Any) -> Any:
    """The same with all places taken."""
    await fill(slow, slow.stack)
    return slow


async def test_a_request_too_many_is_refused_at_once_and_nobody_is_asked(crowded: Any) -> None:
    before = value_of("bourse_http_shed_total", {"why": "in_flight"}) or 0.0
    counted = requests("/api/auth/login", 503, "POST")
    response = await crowded.http.post("/api/auth/login", json={"email": "a@example.com", "password": "b" * 12})

    assert response.status_code == 503
    assert crowded.error_of(response) == {
        "error": "Service unavailable",
        "message": "Too many requests are being worked on; try again shortly",
        "code": "UPSTREAM_UNAVAILABLE",
        "request_id": response.headers["x-request-id"],
    }
    assert response.headers["retry-after"] == "1"
    assert "LogIn" not in crowded.auth.calls
    assert (value_of("bourse_http_shed_total", {"why": "in_flight"}) or 0.0) - before == 1
    assert requests("/api/auth/login", 503, "POST") - counted == 1
    assert in_flight() == PLACES


async def test_a_refusal_does_not_wait_for_the_body(crowded: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", crowded.gateway.port)
    writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    async with asyncio.timeout(3):
        answer = await reader.readuntil(b"\r\n")
    writer.close()

    assert answer == b"HTTP/1.1 503 Service Unavailable\r\n"


async def test_ready_answers_and_probes_are_never_refused(crowded: Any) -> None:
    await crowded.tick({"NSE:TCS": 1.0})
    paths = (
        KEPT,
        "/livez",
        "/readyz",
        "/api/health",
        "/api/portfolio/live-prices?symbols=TCS",
        # Nobody has asked for it in this form before.
        KEPT + "/",
    )

    answers = [await crowded.http.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [200] * len(paths)
    assert answers[-1].headers["x-cache"] == "HIT"


async def test_what_is_ready_is_given_to_a_token_that_was_never_seen(crowded: Any) -> None:
    await crowded.tick({"NSE:TCS": 1.0})
    paths = (KEPT, "/api/portfolio/live-prices?symbols=TCS")
    answers = [await crowded.http.get(path, headers=crowded.sign_in("77")) for path in paths]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_a_slow_service_leaves_places_to_the_others(slow: Any) -> None:
    before = value_of("bourse_http_shed_total", {"why": "service"}) or 0.0
    async with full(slow):
        refused = await slow.http.get("/api/alerts/me/history", headers=slow.sign_in())
        profile = await slow.http.get("/api/auth/user/me", headers=slow.sign_in())

    assert refused.status_code == 503
    assert (value_of("bourse_http_shed_total", {"why": "service"}) or 0.0) - before == 1
    assert profile.status_code != 503


async def test_answers_give_their_places_back(slow: Any) -> None:
    slow.alerts.delay_seconds = 0.2
    async with full(slow) as asking:
        answers = await asyncio.gather(*asking)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert in_flight() == 0


async def test_refusals_of_a_service_give_their_places_back(slow: Any, make_refusal: Any) -> None:
    slow.alerts.delay_seconds = 0.2
    slow.alerts.failure = make_refusal(Code.UNAVAILABLE, "DATABASE", "the database is away")
    async with full(slow) as asking:
        answers = await asyncio.gather(*asking)

    assert [answer.status_code for answer in answers] == [503] * 3
    assert in_flight() == 0


async def test_a_service_that_never_answers_gives_its_places_back(world: Any) -> None:
    await world.open(gateway_max_in_flight=PLACES, rpc_deadline_seconds=0.3)
    await world.until_ready()
    world.alerts.delay_seconds = 30.0
    async with full(world) as asking:
        answers = await asyncio.gather(*asking)

    assert [answer.status_code for answer in answers] == [504] * 3
    assert in_flight() == 0


async def test_a_bug_gives_its_place_back(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr(slow.gateway.verifier, "verify", fail)
    response = await slow.http.get(SLOW, headers=slow.sign_in())

    assert response.status_code == 500
    assert in_flight() == 0


async def test_a_reader_who_leaves_gives_his_place_back_and_ends_the_call(slow: Any) -> None:
    slow.alerts.delay_seconds = 30.0
    counted, given_up = requests("/api/alerts/{user_id}", 499), calls_given_up()
    asking = asyncio.create_task(slow.http.get(SLOW, headers=slow.sign_in()))
    await until_asked(slow)
    assert in_flight() == 1
    asking.cancel()
    await until_in_flight(0)

    assert requests("/api/alerts/{user_id}", 499) - counted == 1
    async with asyncio.timeout(5):
        while calls_given_up() == given_up:
            await asyncio.sleep(0.005)


async def test_what_a_leaving_client_wanted_done_is_done_and_has_a_place_till_then(slow: Any) -> None:
    slow.alerts.delay_seconds = 0.3
    counted = requests("/api/alerts/{user_id}", 200, "DELETE")
    asking = asyncio.create_task(slow.http.delete(SLOW, headers=slow.sign_in()))
    await until_in_flight(1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert in_flight() == 1
    await until_in_flight(0)

    assert requests("/api/alerts/{user_id}", 200, "DELETE") - counted == 1


async def test_of_requests_in_a_row_on_one_connection_the_running_one_ends_with_it(slow: Any) -> None:
    slow.alerts.delay_seconds = 30.0
    token = slow.sign_in()["Authorization"]
    head = f"GET {SLOW} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
    _, writer = await asyncio.open_connection("127.0.0.1", slow.gateway.port)
    writer.write(head * 3)
    await until_asked(slow)
    writer.close()
    await until_in_flight(0)

    assert slow.alerts.calls == ["ListAlerts"]


async def test_a_client_that_still_sends_holds_no_place(slow: Any) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", slow.gateway.port)
    writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 60\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.2)
    assert in_flight() == 0
    writer.close()


async def test_whoever_has_sent_after_all_places_were_taken_is_refused(slow: Any) -> None:
    body = b'{"email":"user@example.com","password":"correct horse"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", slow.gateway.port)
    writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body[:1])
    await writer.drain()
    await asyncio.sleep(0.2)
    await fill(slow, slow.stack)
    writer.write(body[1:])
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"\r\n")
    writer.close()

    assert answer == b"HTTP/1.1 503 Service Unavailable\r\n"
    assert "LogIn" not in slow.auth.calls


async def test_an_open_stream_holds_no_place(slow: Any) -> None:
    await slow.tick({"NSE:TCS": 1.0})
    async with slow.http.stream("GET", "/api/stream?symbols=NSE:TCS") as response:
        assert response.status_code == 200
        assert slow.gateway.streams.count == 1
        assert in_flight() == 0


async def test_answers_that_are_fetched_for_readers_who_left_are_bounded(slow: Any) -> None:
    slow.market.delay_seconds = 1.5
    before = value_of("bourse_http_shed_total", {"why": "flights"}) or 0.0
    for number in range(PLACES):
        asking = asyncio.create_task(slow.http.get(f"/api/stock/price/NSE:S{number}"))
        await until_in_flight(1)
        asking.cancel()
        await until_in_flight(0)
    refused = await slow.http.get("/api/stock/price/NSE:S9")

    assert slow.gateway.cache.flights == PLACES
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert (value_of("bourse_http_shed_total", {"why": "flights"}) or 0.0) - before == 1


async def test_a_service_with_more_calls_than_it_takes_is_503_at_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.rpc_server.MAX_CONCURRENT_RPCS", 3)
    await world.stop_service("alerts")
    await world.start_service("alerts")
    await world.open(rpc_deadline_seconds=5.0)
    await world.until_ready()
    world.alerts.delay_seconds = 2.0
    asking = [asyncio.create_task(world.http.get(SLOW, headers=world.sign_in())) for _ in range(8)]
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    first = done.pop().result()
    await asyncio.gather(*asking)

    assert waiting
    assert first.status_code == 503
    assert world.error_of(first)["message"] == "A service is overloaded; try again shortly"
    assert first.headers["retry-after"] == "1"
    assert sorted({task.result().status_code for task in asking}) == [200, 503]
