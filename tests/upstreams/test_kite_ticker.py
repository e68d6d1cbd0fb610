"""The stand-in of Kite's ticker, judged by the SDK's own parser and by plain websocket clients."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from kiteconnect import KiteTicker
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount, KiteAccounts
from upstreams.kite_frames import HEARTBEAT, Level, Mode, Tick, frame, packet
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server

TCS = BY_KEY["NSE:TCS"].token
NIFTY = BY_KEY["NSE:NIFTY 50"].token
DOLLAR = BY_KEY["CDS:USDINR26NOVFUT"].token
TRADED = 1_795_170_687


@pytest.fixture
def account() -> KiteAccount:
    return KiteAccount()


@pytest.fixture
def ticker(account: KiteAccount) -> Iterator[KiteTickerServer]:
    with kite_ticker_server(KiteAccounts([account]), heartbeat_seconds=0.05) as running:
        yield running


def address(ticker: KiteTickerServer, account: KiteAccount) -> str:
    return f"{ticker.url}/?api_key={account.api_key}&access_token={account.new_access_token()}"


async def order(client: ClientConnection, action: str, value: Any) -> None:
    await client.send(json.dumps({"a": action, "v": value}))


async def next_frame(client: ClientConnection) -> bytes:
    async with asyncio.timeout(5):
        while True:
            message = await client.recv()
            if message != HEARTBEAT:
                assert isinstance(message, bytes)
                return message


async def falls_silent(client: ClientConnection) -> bool:
    """Say whether six heartbeats' time goes by without any; the one or two on their way do not count."""
    for _ in range(3):
        try:
            await asyncio.wait_for(client.recv(), 0.3)
        except TimeoutError:
            return True
    return False


def parsed(message: bytes) -> list[dict[str, Any]]:
    """Read a frame with the SDK."""
    ticks: list[dict[str, Any]] = KiteTicker("key", "token")._parse_binary(message)
    return ticks


@pytest.mark.parametrize(
    ("token", "price", "mode", "length"),
    [
        (TCS, 3842.55, Mode.LTP, 8),
        (NIFTY, 24000.15, Mode.QUOTE, 28),
        (NIFTY, 24000.15, Mode.FULL, 32),
        (TCS, 3842.55, Mode.QUOTE, 44),
        (TCS, 3842.55, Mode.FULL, 184),
        (DOLLAR, 88.9125, Mode.FULL, 184),
        (1 << 8 | 6, 88.9125, Mode.QUOTE, 44),
        (1 << 8 | 12, 88.9125, Mode.QUOTE, 44),
    ],
)
def test_the_sdk_reads_every_kind_of_packet(token: int, price: float, mode: Mode, length: int) -> None:
    tick = Tick(
        *(token, price, price - 2, price + 3, price - 4, price - 1),
        volume=1_234_567,
        last_trade_time=TRADED,
        exchange_timestamp=TRADED + 1,
        buys=tuple(Level(10 + number, price - number, number) for number in range(5)),
        sells=tuple(Level(20 + number, price + number, number) for number in range(5)),
    )
    written = packet(tick, mode)
    assert len(written) == length
    [read] = parsed(frame([written]))
    assert (read["instrument_token"], read["last_price"]) == (token, pytest.approx(price))
    assert (read["mode"], read["tradable"]) == (mode.value, token != NIFTY)
    if mode is not Mode.LTP:
        expected = {"open": price - 2, "high": price + 3, "low": price - 4, "close": price - 1}
        assert read["ohlc"] == pytest.approx(expected)
    if mode is Mode.FULL:
        assert read["exchange_timestamp"].timestamp() == TRADED + 1
    if length == 184:
        assert read["volume_traded"] == 1_234_567
        assert read["last_trade_time"].timestamp() == TRADED
        assert read["depth"]["sell"][4] == {"quantity": 24, "price": pytest.approx(price + 4), "orders": 4}


def test_the_sdks_own_client_is_served(ticker: KiteTickerServer, account: KiteAccount) -> None:
    program = Path(__file__).with_name("kite_ticker_program.py")
    arguments = [ticker.url, account.api_key, account.new_access_token(), str(TCS), str(NIFTY)]
    with subprocess.Popen(
        [sys.executable, program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        ticker.wait_for_subscriptions({TCS: Mode.QUOTE, NIFTY: Mode.FULL})
        ticker.send_ticks([Tick(TCS, 3842.5), Tick(NIFTY, 24000.15, exchange_timestamp=TRADED)])
        event, ticks = json.loads(client.stdout.readline())
        assert (event, [tick["mode"] for tick in ticks]) == ("ticks", ["quote", "full"])
        assert [tick["last_price"] for tick in ticks] == [3842.5, 24000.15]
        ticker.send_text({"type": "order", "data": {"order_id": "1"}})
        assert json.loads(client.stdout.readline()) == ["order", {"order_id": "1"}]
        ticker.send_text({"type": "error", "data": "too many"})
        assert json.loads(client.stdout.readline()) == ["error", [0, "too many"]]
        client.communicate("end\n", timeout=10)
        assert client.returncode == 0


async def test_ticks_go_to_those_who_subscribed_in_their_mode(ticker: KiteTickerServer, account: KiteAccount) -> None:
    async with connect(address(ticker, account)) as client:
        await order(client, "subscribe", [TCS, NIFTY])
        await order(client, "mode", ["full", [NIFTY]])
        await asyncio.to_thread(ticker.wait_for_subscriptions, {TCS: Mode.QUOTE, NIFTY: Mode.FULL})
        ticker.send_ticks([Tick(TCS, 3842.5), Tick(DOLLAR, 88.9), Tick(NIFTY, 24000)])
        read = parsed(await next_frame(client))
        assert [(tick["instrument_token"], tick["mode"]) for tick in read] == [(TCS, "quote"), (NIFTY, "full")]
        await order(client, "unsubscribe", [TCS])
        await order(client, "subscribe", [DOLLAR])
        assert [tick["last_price"] for tick in parsed(await next_frame(client))] == [88.9]
        assert ticker.subscriptions == [{NIFTY: Mode.FULL, DOLLAR: Mode.QUOTE}]


async def test_texts_malformed_frames_and_heartbeats_arrive(ticker: KiteTickerServer, account: KiteAccount) -> None:
    async with connect(address(ticker, account)) as client:
        await asyncio.to_thread(ticker.wait_for_connections)
        ticker.send_text({"type": "error", "data": "too many"})
        ticker.send_raw(b"\x00\x05\x00\xb8")
        received = {await asyncio.wait_for(client.recv(), 5) for _ in range(5)}
        assert received == {'{"type": "error", "data": "too many"}', b"\x00\x05\x00\xb8", HEARTBEAT}


async def test_paused_ticks_leave_the_heartbeats(ticker: KiteTickerServer, account: KiteAccount) -> None:
    async with connect(address(ticker, account)) as client:
        await order(client, "subscribe", [TCS])
        await asyncio.to_thread(ticker.wait_for_subscriptions, {TCS: Mode.QUOTE})
        ticker.pause_ticks()
        ticker.send_ticks([Tick(TCS, 3842.5)])
        assert [await client.recv() for _ in range(3)] == [HEARTBEAT] * 3
        ticker.resume_ticks()
        ticker.send_ticks([Tick(TCS, 3843)])
        assert parsed(await next_frame(client))[0]["last_price"] == 3843


async def test_a_half_open_link_says_nothing_until_it_recovers(ticker: KiteTickerServer, account: KiteAccount) -> None:
    async with connect(address(ticker, account), ping_interval=None) as client:
        await asyncio.to_thread(ticker.wait_for_connections)
        ticker.go_silent()
        pong = asyncio.ensure_future(await client.ping())
        assert await falls_silent(client)
        assert not pong.done()
        ticker.recover()
        assert await asyncio.wait_for(client.recv(), 5) == HEARTBEAT


async def test_connections_are_cut_and_closed(ticker: KiteTickerServer, account: KiteAccount) -> None:
    async with connect(address(ticker, account)) as client:
        await asyncio.to_thread(ticker.wait_for_connections)
        ticker.drop()
        with pytest.raises(ConnectionClosedError):
            await next_frame(client)
    await asyncio.to_thread(ticker.wait_for_connections, 0)
    async with connect(address(ticker, account)) as client:
        await asyncio.to_thread(ticker.wait_for_connections)
        closing = asyncio.create_task(asyncio.to_thread(ticker.close, 1001))
        with pytest.raises(ConnectionClosedOK):
            await next_frame(client)
        await closing
    assert ticker.journal.count(api_key=account.api_key) == 2
    assert account.access_tokens
    assert not any(token in repr(ticker.journal.requests) for token in account.access_tokens)


async def test_dead_tokens_and_bad_days_are_refused_at_the_handshake(
    ticker: KiteTickerServer, account: KiteAccount
) -> None:
    good = address(ticker, account)
    ticker.refuse_handshakes(HTTPStatus.SERVICE_UNAVAILABLE)
    with pytest.raises(InvalidStatus) as unavailable:
        await connect(good)
    ticker.refuse_handshakes(None)
    account.expire_tokens()
    with pytest.raises(InvalidStatus) as forbidden:
        await connect(good)
    assert (unavailable.value.response.status_code, forbidden.value.response.status_code) == (503, 403)
