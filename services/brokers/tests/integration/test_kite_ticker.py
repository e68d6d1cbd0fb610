"""The feed of Kite's prices, from a websocket that misbehaves to a real NATS."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from bourse.market.v1 import quotes_pb2, ticks_pb2
from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, FeedState
from brokers.domain.ticks import shard_of
from brokers.domain.trading_hours import TradingHours, TradingSession
from brokers.feed.kite_link import LinkTiming
from brokers.feed.kite_ticker import KiteTicker, TickerOptions
from brokers.feed.publisher import TickPublisher
from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import SystemClock
from chassis.metrics import value_of
from chassis.settings import ProcessSettings
from chassis.tasks import running
from chassis.testing import NatsServer
from upstreams.kite_accounts import KiteAccount, KiteAccounts
from upstreams.kite_frames import Mode, Tick
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server

CLOCK = SystemClock()
WAIT_SECONDS = 15
TCS, INFY, NIFTY = 2_953_217, 408_065, 256_265
TOKENS = {"NSE:TCS": TCS, "NSE:INFY": INFY, "INDEX:NIFTY50": NIFTY}
FULL = dict.fromkeys(TOKENS.values(), Mode.FULL)
TIMING = LinkTiming(
    open_seconds=2,
    silence_seconds=0.5,
    close_seconds=0.2,
    first_retry_seconds=0.02,
    longest_retry_seconds=0.1,
    settled_seconds=1,
)
DAY = timedelta(days=1)


def hours(*, is_open: bool) -> TradingHours:
    now = CLOCK.now()
    return TradingHours(now - DAY, now + DAY, [TradingSession(now - DAY, now + DAY)] if is_open else [])


@dataclass
class Surroundings:
    """What the feed asks and tells."""

    hours: TradingHours | None = field(default_factory=lambda: hours(is_open=True))
    refused: list[ActiveSession] = field(default_factory=list)


class Arrivals:
    """Everything that a plain NATS client sees on `ticks.>`."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    async def see(self, message: Msg) -> None:
        self.payloads.append(message.data)

    @property
    def batches(self) -> list[ticks_pb2.TickBatch]:
        return [ticks_pb2.TickBatch.FromString(payload) for payload in self.payloads]

    @property
    def ticks(self) -> list[ticks_pb2.Tick]:
        return [tick for batch in self.batches for tick in batch.ticks]

    def prices(self, instrument: str) -> list[float]:
        return [tick.last_price for tick in self.ticks if tick.instrument == instrument]


@pytest.fixture
def account() -> KiteAccount:
    return KiteAccount()


@pytest.fixture
def upstream(account: KiteAccount) -> Iterator[KiteTickerServer]:
    with kite_ticker_server(KiteAccounts([account]), heartbeat_seconds=0.05) as running_server:
        yield running_server


@pytest.fixture
async def bus(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Bus]:
    settings = ProcessSettings(nats_url=SecretStr(nats.url), run_dir=tmp_path)
    async with Bus.open(settings, name="test", streams=[EVENTS, TICKS]) as bus:
        await asyncio.wait_for(bus.wait_until_ready(), WAIT_SECONDS)
        yield bus


@pytest.fixture
async def arrivals(nats: NatsServer) -> AsyncIterator[Arrivals]:
    seen = Arrivals()
    client = Client()
    await client.connect(nats.url)
    await client.subscribe("ticks.>", cb=seen.see)
    await client.flush()
    yield seen
    await client.close()


@pytest.fixture
async def publisher(bus: Bus) -> AsyncIterator[TickPublisher]:
    publisher = TickPublisher(bus, CLOCK, publisher_id="test")
    async with running(publisher.run()):
        yield publisher


@dataclass(frozen=True)
class Scene:
    """The feed, and all that it stands between."""

    feed: KiteTicker
    upstream: KiteTickerServer
    account: KiteAccount
    publisher: TickPublisher
    surroundings: Surroundings
    arrivals: Arrivals
    options: TickerOptions

    @property
    def connections(self) -> int:
        """How many were made in all."""
        return len(self.upstream.journal.requests)

    def another_feed(self, url: str) -> KiteTicker:
        return ticker_of(self.publisher, self.surroundings, replace(self.options, url=url))

    async def start(self, tokens: Mapping[str, int] = TOKENS) -> ActiveSession:
        """Start the feed and wait until it has asked for everything."""
        session = session_of(self.account)
        await self.feed.start(session, tokens)
        wanted = dict.fromkeys(tokens.values(), Mode.FULL)
        await asyncio.to_thread(self.upstream.wait_for_subscriptions, wanted)
        return session

    async def send(self, *ticks: Tick) -> None:
        await asyncio.to_thread(self.upstream.send_ticks, ticks)

    async def resubscribed(self, *, connections: int) -> None:
        """Wait until so many connections were made in all, and one has asked for everything."""
        await until(lambda: self.connections >= connections)
        await asyncio.to_thread(self.upstream.wait_for_subscriptions, FULL)


@pytest.fixture
async def scene(
    account: KiteAccount, upstream: KiteTickerServer, publisher: TickPublisher, arrivals: Arrivals
) -> AsyncIterator[Scene]:
    surroundings = Surroundings()
    options = TickerOptions(upstream.url, stale_after=timedelta(seconds=0.4), timing=TIMING)
    feed = ticker_of(publisher, surroundings, options)
    yield Scene(feed, upstream, account, publisher, surroundings, arrivals, options)
    await feed.stop()


def ticker_of(publisher: TickPublisher, surroundings: Surroundings, options: TickerOptions) -> KiteTicker:
    return KiteTicker(
        publisher,
        hours=lambda: surroundings.hours,
        refuse=surroundings.refused.append,
        clock=CLOCK,
        options=options,
    )


def session_of(account: KiteAccount) -> ActiveSession:
    now = CLOCK.now()
    token = Secret(account.new_access_token())
    return ActiveSession(Broker.ZERODHA, Secret(account.api_key), None, token, now, now + DAY, is_simulated=False)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


# --- prices


async def test_ticks_arrive_in_order_with_everything_in_them(scene: Scene) -> None:
    await scene.start()
    second = int(CLOCK.now().timestamp()) - 60
    for step in range(50):
        await scene.send(
            Tick(TCS, 3842.5 + step, close=3800.25, volume=1_000 + step, exchange_timestamp=second + step),
            Tick(NIFTY, 24_000.05 + step, close=23_900.1, exchange_timestamp=second + step),
        )
    await until(lambda: len(scene.arrivals.ticks) == 100)
    assert scene.arrivals.prices("NSE:TCS") == [3842.5 + step for step in range(50)]
    assert scene.arrivals.prices("INDEX:NIFTY50") == pytest.approx([24_000.05 + step for step in range(50)])
    sequences: dict[int, int] = {}
    for batch in scene.arrivals.batches:
        assert (batch.publisher_id, batch.source, batch.freshness) == ("test", "zerodha", quotes_pb2.FRESHNESS_LIVE)
        assert {shard_of(tick.instrument) for tick in batch.ticks} == {batch.shard}
        sequences[batch.shard] = sequences.get(batch.shard, 1) + 1
        assert batch.sequence == sequences[batch.shard]
    tick = next(tick for tick in scene.arrivals.ticks if tick.instrument == "NSE:TCS")
    batch = next(batch for batch in scene.arrivals.batches if tick in batch.ticks)
    made_at = batch.base_time.ToDatetime(tzinfo=UTC) + timedelta(microseconds=tick.offset_microseconds)
    assert made_at == datetime.fromtimestamp(second, UTC)
    assert (tick.previous_close, tick.volume) == (3800.25, 1_000)
    assert not next(tick for tick in scene.arrivals.ticks if tick.instrument == "INDEX:NIFTY50").HasField("volume")
    assert scene.feed.status.last_tick_at is not None


async def test_prices_between_sessions_are_marked_closed(scene: Scene) -> None:
    scene.surroundings.hours = hours(is_open=False)
    scene.upstream.last_ticks[TCS] = Tick(TCS, 3842.5)
    await scene.start()
    await until(lambda: bool(scene.arrivals.ticks))
    assert {batch.freshness for batch in scene.arrivals.batches} == {quotes_pb2.FRESHNESS_CLOSED}
    assert scene.feed.status.state is FeedState.CLOSED
    assert await scene.feed.is_well()


async def test_more_instruments_than_a_connection_takes_are_spread_over_three(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {f"NSE:S{number}": number << 8 | 1 for number in range(1, 9_101)}
    await scene.feed.start(session_of(scene.account), tokens)
    await until(lambda: sorted(len(each) for each in scene.upstream.subscriptions) == [3_000] * 3)
    await until(lambda: all(mode is Mode.FULL for each in scene.upstream.subscriptions for mode in each.values()))
    asked = [token for each in scene.upstream.subscriptions for token in each]
    assert sorted(asked) == sorted(tokens.values())[:9_000]
    (left_out,) = [record for record in caplog.records if record.message == "kite takes no more instruments"]
    assert vars(left_out)["left_out"] == 100


# --- losing the connection


@pytest.mark.parametrize("lose", [KiteTickerServer.drop, KiteTickerServer.close])
async def test_a_lost_connection_is_made_again_with_its_subscriptions(
    scene: Scene, lose: Callable[[KiteTickerServer], None]
) -> None:
    made = value_of("bourse_brokers_ticker_connections_total") or 0.0
    lost = value_of("bourse_brokers_ticker_losses_total", {"cause": "lost"}) or 0.0
    await scene.start()
    await scene.send(Tick(TCS, 1.0))
    await asyncio.to_thread(lose, scene.upstream)
    await scene.resubscribed(connections=2)
    await scene.send(Tick(TCS, 2.0))
    await until(lambda: 2.0 in scene.arrivals.prices("NSE:TCS"))
    assert set(scene.arrivals.prices("NSE:TCS")) == {1.0, 2.0}
    assert value_of("bourse_brokers_ticker_connections_total") == made + 2
    assert value_of("bourse_brokers_ticker_losses_total", {"cause": "lost"}) == lost + 1
    assert (scene.feed.links, scene.feed.connected_links, scene.feed.subscribed) == (1, 1, len(TOKENS))
    assert scene.feed.received_ticks == scene.publisher.published_ticks == len(scene.arrivals.ticks)
    assert scene.publisher.waiting_ticks == 0


async def test_a_half_open_connection_is_found_by_its_silence(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    await scene.start()
    await asyncio.to_thread(scene.upstream.go_silent)
    await until(lambda: scene.feed.status.state is FeedState.CONNECTING)
    await asyncio.to_thread(scene.upstream.recover)
    await scene.resubscribed(connections=2)
    await until(lambda: scene.feed.status.state is FeedState.LIVE)
    assert "LinkSilent" in causes_logged(caplog)


def causes_logged(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {vars(record)["cause"] for record in caplog.records if record.message == "kite link lost"}


async def test_a_server_that_closes_again_and_again_is_not_stormed(scene: Scene) -> None:
    await scene.start()
    began = time.monotonic()
    for number in range(2, 8):
        await asyncio.to_thread(scene.upstream.close)
        await until(lambda wanted=number: scene.connections >= wanted)  # type: ignore[misc]
    spent = time.monotonic() - began
    # Half of each wait is certain: 0.02, 0.04, 0.08, then 0.1 s each.
    assert spent > (0.02 + 0.04 + 0.08 + 3 * 0.1) / 2
    await scene.resubscribed(connections=7)


async def test_a_server_that_is_away_is_tried_until_it_is_back(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.upstream.refuse_handshakes(HTTPStatus.SERVICE_UNAVAILABLE)
    await scene.feed.start(session_of(scene.account), TOKENS)
    refused = value_of("bourse_brokers_ticker_losses_total", {"cause": "refused"}) or 0.0
    await until(lambda: [record.message for record in caplog.records].count("kite refused the connection") >= 2)
    assert (value_of("bourse_brokers_ticker_losses_total", {"cause": "refused"}) or 0.0) > refused
    assert (scene.feed.links, scene.feed.connected_links, scene.feed.subscribed) == (1, 0, 0)
    assert scene.feed.status.state is FeedState.CONNECTING
    assert not await scene.feed.is_well()
    scene.upstream.refuse_handshakes(None)
    await asyncio.to_thread(scene.upstream.wait_for_subscriptions, FULL)
    await until(lambda: scene.feed.status.state is FeedState.LIVE)


async def test_a_redirect_is_not_followed(scene: Scene) -> None:
    asked: list[str] = []

    def redirect(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        response = connection.respond(HTTPStatus.FOUND, "elsewhere")
        response.headers["Location"] = request.path + "&again=1"
        return response

    async with serve(_never, "127.0.0.1", 0, process_request=redirect) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        feed = scene.another_feed(f"ws://127.0.0.1:{port}")
        await feed.start(session_of(scene.account), TOKENS)
        await until(lambda: len(asked) >= 2)
        await feed.stop()
    assert not [path for path in asked if "again" in path]


async def _never(_: ServerConnection) -> None:
    raise AssertionError


# --- the session's end


async def test_a_token_that_dies_ends_the_feed_over_all_connections_and_is_told_once(scene: Scene) -> None:
    session = session_of(scene.account)
    await scene.feed.start(session, {f"NSE:S{number}": number << 8 | 1 for number in range(1, 3_002)})
    await until(lambda: len(scene.upstream.subscriptions) == 2)
    scene.account.expire_tokens()
    await asyncio.to_thread(scene.upstream.drop)
    await until(lambda: bool(scene.surroundings.refused))
    assert scene.surroundings.refused == [session]
    assert scene.feed.status.state is FeedState.OFF


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_a_refused_token_is_never_tried_again(scene: Scene, status: HTTPStatus) -> None:
    asked: list[str] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        return connection.respond(status, status.phrase)

    async with serve(_never, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        feed = scene.another_feed(f"ws://127.0.0.1:{port}")
        session = session_of(scene.account)
        await feed.start(session, TOKENS)
        await until(lambda: bool(scene.surroundings.refused))
        await asyncio.sleep(3 * TIMING.longest_retry_seconds)
    assert len(asked) == 1
    assert scene.surroundings.refused == [session]


async def test_nothing_is_tried_after_the_token_is_dead_by_the_clock(scene: Scene) -> None:
    await scene.feed.start(replace(session_of(scene.account), expires_at=CLOCK.now()), TOKENS)
    await until(lambda: scene.feed.status.state is FeedState.OFF)
    assert scene.connections == 0
    assert scene.surroundings.refused == []


async def test_a_later_session_takes_the_earlier_ones_place(scene: Scene) -> None:
    await scene.start()
    await scene.feed.start(session_of(scene.account), {"NSE:INFY": INFY})
    await until(lambda: scene.upstream.subscriptions == [{INFY: Mode.FULL}])


async def test_a_stopped_feed_is_off_and_can_be_stopped_again(scene: Scene) -> None:
    await scene.start()
    await scene.feed.stop()
    await scene.feed.stop()
    assert scene.feed.status.state is FeedState.OFF
    await asyncio.to_thread(scene.upstream.wait_for_connections, 0)


# --- silence about prices


async def test_heartbeats_without_prices_make_the_feed_stale_until_the_next_price(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "brokers")
    await scene.start()
    await scene.send(Tick(TCS, 1.0))
    await until(lambda: scene.feed.status.last_tick_at is not None)
    await until(lambda: scene.feed.status.state is FeedState.STALE)
    assert not await scene.feed.is_well()
    # The watch looks once a second, and says a state once however long it lasts.
    await until(lambda: "STALE" in states_logged(caplog))
    await asyncio.sleep(1.2)
    assert states_logged(caplog).count("STALE") == 1
    await scene.send(Tick(TCS, 2.0))
    await until(lambda: scene.feed.status.state is FeedState.LIVE)
    assert scene.connections == 1


async def test_a_feed_that_stays_stale_connects_and_subscribes_anew(scene: Scene) -> None:
    options = replace(scene.options, reconnect_after=timedelta(seconds=1))
    feed = ticker_of(scene.publisher, scene.surroundings, options)
    try:
        await feed.start(session_of(scene.account), TOKENS)
        await scene.resubscribed(connections=2)
        await until(lambda: feed.status.state is FeedState.LIVE)
    finally:
        await feed.stop()


def states_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["state"] for record in caplog.records if record.message == "kite feed changed"]


async def test_without_a_calendar_silence_is_not_called_stale(scene: Scene) -> None:
    scene.surroundings.hours = None
    await scene.start()
    await until(lambda: scene.feed.status.state is FeedState.CONNECTED)
    await scene.send(Tick(TCS, 1.0))
    await until(lambda: scene.feed.status.state is FeedState.LIVE)
    await until(lambda: scene.feed.status.state is FeedState.CONNECTED)
    assert await scene.feed.is_well()


# --- what cannot be read


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x05\x00\xb8short",
        b"\xff\xff",
        b"\x00\x01\x00\x03abc",
        b"",
        b"\x00\x00",
        "no json",
        "[" * 100_000,
        '{"type": "error", "data": "words that are nobody\'s"}',
        '{"type": "order", "data": {}}',
        "[1]",
    ],
    ids=range(10),
)
async def test_nonsense_costs_nothing_but_itself(
    scene: Scene, nonsense: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.start()
    for _ in range(3):
        await asyncio.to_thread(scene.upstream.send_raw, nonsense)
    await scene.send(Tick(TCS, 2.0), Tick(INFY, 0.0), Tick(999_425, 5.0))
    await until(lambda: scene.arrivals.prices("NSE:TCS") == [2.0])
    assert len(scene.arrivals.ticks) == 1
    assert scene.connections == 1
    assert "words that are nobody's" not in caplog.text
    assert [record.message for record in caplog.records].count("kite sent a frame that cannot be read") <= 1


async def test_a_message_that_is_too_large_costs_the_connection_alone(scene: Scene) -> None:
    await scene.start()
    await asyncio.to_thread(scene.upstream.send_raw, bytes(3 * 1024 * 1024))
    await scene.resubscribed(connections=2)


async def test_a_fault_of_ours_costs_the_connection_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.start()
    monkeypatch.setattr(scene.publisher, "offer", lambda *_: 1 / 0)
    await scene.send(Tick(TCS, 1.0))
    await until(lambda: "kite link failed" in caplog.text)
    monkeypatch.undo()
    await scene.resubscribed(connections=2)


# --- secrets


async def test_no_log_holds_the_key_or_the_token_even_at_debug(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    asyncio.get_running_loop().set_debug(True)
    session = await scene.start()
    token = session.token.reveal()
    await asyncio.to_thread(scene.upstream.drop)
    await scene.resubscribed(connections=2)
    scene.upstream.refuse_handshakes(HTTPStatus.BAD_GATEWAY)
    await asyncio.to_thread(scene.upstream.close)
    await until(lambda: "kite refused the connection" in caplog.text)
    scene.upstream.refuse_handshakes(HTTPStatus.FORBIDDEN)
    await until(lambda: scene.feed.status.state is FeedState.OFF)
    assert leaking(caplog, token) == leaking(caplog, scene.account.api_key) == set()
    # What is looked through would show it: the library's own logger writes the address.
    scene.upstream.refuse_handshakes(None)
    async with connect(f"{scene.upstream.url}/?api_key={scene.account.api_key}&access_token={token}"):
        assert leaking(caplog, token) == {"websockets.client"}


def leaking(caplog: pytest.LogCaptureFixture, secret: str) -> set[str]:
    """The loggers whose records hold it; the stand-in's own are not ours."""
    return {
        record.name
        for record in caplog.records
        if record.name != "websockets.server" and secret in f"{record.getMessage()} {vars(record)}"
    }


def own_authority(folder: Path, host: x509.GeneralName) -> tuple[Path, Path]:
    """Make a certificate for `host` that is its own authority; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.mark.parametrize(
    ("host", "is_trusted", "is_accepted"),
    [
        (x509.IPAddress(IPv4Address("127.0.0.1")), True, True),
        (x509.IPAddress(IPv4Address("127.0.0.1")), False, False),
        (x509.DNSName("elsewhere.example"), True, False),
    ],
    ids=["of a known authority", "of an unknown authority", "of another host"],
)
async def test_the_token_goes_only_to_a_server_with_a_certificate_that_is_verified(
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    host: x509.GeneralName,
    is_trusted: bool,
    is_accepted: bool,
) -> None:
    asked: list[str] = []

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        await connection.wait_closed()

    certificate, key = own_authority(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    session = session_of(scene.account)
    async with serve(talk, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        feed = scene.another_feed(f"wss://127.0.0.1:{port}")
        await feed.start(session, TOKENS)
        await until(lambda: bool(asked) or "SSLCertVerificationError" in causes_logged(caplog))
        await feed.stop()
    assert bool(asked) is is_accepted
    assert all(session.token.reveal() in path for path in asked)


# --- NATS


async def test_while_nats_is_away_ticks_are_dropped_and_leave_a_hole(
    scene: Scene, bus: Bus, nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.start()
    await scene.send(Tick(TCS, 1.0))
    await until(lambda: scene.arrivals.prices("NSE:TCS") == [1.0])
    nats.kill()
    await until(lambda: not bus.is_ready)
    for price in (2.0, 3.0):
        await scene.send(Tick(TCS, price))
        await until(lambda counted=price: scene.publisher.dropped_ticks == counted - 1)  # type: ignore[misc]
    nats.start()
    await asyncio.wait_for(bus.wait_until_ready(), WAIT_SECONDS)
    await until(lambda: bus.is_ready)
    # The other client comes back in its own time; until then it misses what is sent.
    sent = 4.0
    async with asyncio.timeout(WAIT_SECONDS):
        while len(scene.arrivals.batches) < 2:
            await scene.send(Tick(TCS, sent))
            sent += 1
            await asyncio.sleep(0.1)
    # Each price was a batch of its own, from sequence 2, and those that were dropped used up theirs.
    assert [batch.sequence - 1 for batch in scene.arrivals.batches] == scene.arrivals.prices("NSE:TCS")
    assert [record.message for record in caplog.records].count("ticks dropped") == 1


async def test_three_thousand_instruments_in_full_mode(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    tokens = {f"NSE:S{number}": number << 8 | 1 for number in range(1, 3_001)}
    await scene.start(tokens)
    seconds = 3
    rounds = seconds * 10
    spent, began = time.thread_time(), time.monotonic()
    for number in range(rounds):
        part = [Tick(token, 100.0 + number, close=99.0, volume=number) for token in tokens.values()][number % 10 :: 10]
        await scene.send(*part)
        await asyncio.sleep(max(0.0, began + (number + 1) / 10 - time.monotonic()))
    await until(lambda: scene.publisher.published_ticks == 3_000 * seconds)
    share = (time.thread_time() - spent) / (time.monotonic() - began)
    record_property("cpu_share_of_3000_full_ticks_a_second", round(share, 3))
    print(f"3,000 full ticks/s: {share:.1%} of a core, this test's own making of ticks included")  # noqa: T201
    await until(lambda: len(scene.arrivals.ticks) == 3_000 * seconds)
    assert scene.publisher.dropped_ticks == 0
    for instrument in ("NSE:S1", "NSE:S3000"):
        prices = scene.arrivals.prices(instrument)
        assert len(prices) == seconds
        assert prices == sorted(prices)
