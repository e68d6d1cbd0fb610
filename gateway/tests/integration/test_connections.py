"""What one connection may do, byte for byte: the right answers in the right order, and no place held for nothing."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gateway.protocol import MAX_WAITING_REQUESTS

POLICY = "public, max-age=60"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ALIVE = b'{"status":"ok"}'


@asynccontextmanager
async def connected(world: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answers_to(world: Any, *parts: bytes) -> bytes:
    """Send parts one after the other, and return what came until the gateway hung up."""
    async with asyncio.timeout(5), connected(world) as (reader, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.05)
        return await reader.read()


def profile_of(world: Any, *headers: bytes) -> bytes:
    lines = [b"GET /api/auth/user/me HTTP/1.1", b"Host: x", b"Authorization: Bearer " + world.auth.mint().encode()]
    return b"\r\n".join([*lines, *headers, b"", b""])


async def test_many_small_requests_at_once_are_no_large_head(running: Any) -> None:
    padded = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Padding: %s\r\n\r\n" % (b"a" * 1000)
    last = b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n"

    answers = await answers_to(running, padded * 100 + last[:10], last[10:])

    assert answers.count(b"HTTP/1.1 200 OK") == 101


async def test_a_head_within_the_bound_may_come_in_pieces(running: Any) -> None:
    fields = [b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(50)]

    answers = await answers_to(
        running,
        b"GET /livez HTTP/1.1\r\nConnection: close\r\n" + b"".join(fields[:20]),
        b"".join(fields[20:40]),
        b"".join(fields[40:]) + b"\r\n",
    )

    assert answers.startswith(b"HTTP/1.1 200 OK")


async def test_a_head_that_never_ends_is_refused(running: Any) -> None:
    answers = await answers_to(running, b"GET /livez HTTP/1.1\r\nX-Endless: a", b"a" * 40_000, b"a" * 40_000)

    assert answers.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_body_half_sent_ends_its_connection(world: Any, length: bytes) -> None:
    await world.open(gateway_body_timeout_seconds=0.2)
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%b\r\n\r\n" % length

    # To the end: the connection would stay open for longer than is waited for it here.
    answers = await answers_to(world, head + b"1\r\n{")

    assert answers.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answers.lower()
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(("queued", "statuses"), [(b"", [b"404"]), (LIVE, [b"404", b"200"])])
async def test_nonsense_does_not_overtake_the_answers_before_it(
    running: Any, caplog: pytest.LogCaptureFixture, queued: bytes, statuses: list[bytes]
) -> None:
    running.auth.delay_seconds = 0.3

    answers = await answers_to(running, profile_of(running) + queued, b"\x00nonsense\r\n\r\n")

    # The fake knows no such user: the first answer is a 404.
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers)[: len(statuses)] == statuses
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_broken_body_is_refused_though_its_request_has_begun(
    running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    running.auth.delay_seconds = 0.3

    answers = await answers_to(running, profile_of(running, b"Transfer-Encoding: chunked"), b"nonsense\r\n")
    await asyncio.sleep(0.4)

    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_half_a_head_does_not_take_the_answer_before_it(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.HEAD_TIMEOUT_SECONDS", 0.1)
    running.auth.delay_seconds = 0.5

    answers = await answers_to(running, profile_of(running) + LIVE[:10])

    assert answers.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (LIVE, b""),
        (LIVE, b"\r\n"),
        (LIVE.replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\n"), b"x"),
    ],
    ids=["nothing", "an empty line", "a body nobody reads"],
)
async def test_who_asks_nothing_more_is_hung_up_on(
    world: Any, monkeypatch: pytest.MonkeyPatch, head: bytes, rest: bytes
) -> None:
    monkeypatch.setattr("gateway.server.KEEP_ALIVE_SECONDS", 0.3)
    await world.open()

    assert (await answers_to(world, head, rest, rest)).endswith(ALIVE)


async def test_a_connection_in_use_outlives_the_time_it_may_rest(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.KEEP_ALIVE_SECONDS", 0.3)
    await world.open()
    await world.until_ready()
    world.auth.delay_seconds = 0.6

    answers = await answers_to(world, LIVE[:10], LIVE[10:] + profile_of(world)[:10], profile_of(world)[10:])

    assert answers.count(b"HTTP/1.1") == 2


async def test_requests_that_wait_for_their_turn_are_bounded(running: Any) -> None:
    answers = b""
    async with asyncio.timeout(10), connected(running) as (reader, writer):
        writer.write(LIVE * 20_000)
        # Whoever still sends when the gateway hangs up may be reset instead of reading all that was answered.
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                answers += chunk

    assert answers.count(b"HTTP/1.1 200 OK") <= 2 * MAX_WAITING_REQUESTS


async def test_who_reads_no_answer_is_dropped(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.STALL_SECONDS", 0.3)
    world.market.cache_control = POLICY
    await world.open(gateway_limit_cached="1000000/minute")
    await world.http.get("/api/index/snapshot")
    async with asyncio.timeout(20):
        with socket.socket() as deaf, pytest.raises(ConnectionError):
            await _ask_without_end(deaf, world.gateway.port)


async def _ask_without_end(client: socket.socket, port: int) -> None:
    loop = asyncio.get_running_loop()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    while True:
        await loop.sock_sendall(client, b"GET /api/index/snapshot HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        await asyncio.sleep(0.01)


async def test_finished_answers_are_in_the_access_log(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.access")
    world.market.cache_control = POLICY
    await world.open(gateway_access_log=True)
    states = [(await world.http.get("/api/index/snapshot")).headers["x-cache"] for _ in range(2)]

    assert states == ["MISS", "HIT"]
    assert len([record for record in caplog.records if "/api/index/snapshot" in record.getMessage()]) == 2


async def test_the_access_log_names_routes_and_repeats_nothing_of_an_address(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.access")
    await world.open(gateway_access_log=True)
    for path in ("/no/such/canary", "/api/alerts/canary", "/api/portfolio/live-prices?symbols=canary"):
        await world.http.get(path)

    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert [line.split('"')[1].split()[1] for line in lines] == [
        "(no",
        "/api/alerts/{user_id}",
        "/api/portfolio/live-prices",
    ]
    assert not [line for line in lines if "canary" in line]
