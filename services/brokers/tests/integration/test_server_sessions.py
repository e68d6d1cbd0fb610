"""Server-wide sessions and quotes: from gRPC over real children to the brokers' stand-ins, and onto a real NATS."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from bourse.brokers.v1.quotes_pb2_grpc import BrokerQuoteServiceStub
from bourse.brokers.v1.sessions_pb2_grpc import SessionServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from pydantic import SecretStr

from bourse.brokers.v1 import brokers_pb2, events_pb2, quotes_pb2, sessions_pb2
from bourse.market.v1 import calendars_pb2, calendars_pb2_grpc, instruments_pb2, instruments_pb2_grpc
from brokers.app import build
from brokers.domain.announcer import Announcer
from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.domain.session_keeper import SessionKeeper
from brokers.domain.sessions import ActiveSession, SessionBook
from brokers.providers.session_events import BusSessionEvents
from brokers.settings import Settings
from chassis.bus import EVENTS, Bus
from chassis.clock import ManualClock
from chassis.metrics import value_of
from chassis.rpc_client import reason_of, retry_after_of
from chassis.settings import ProcessSettings
from chassis.tasks import running
from chassis.testing import NatsServer, free_port, promised_metrics, python_module, stop_process, told_metrics
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.kite_frames import Mode
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server
from upstreams.servers import RunningBrokers, brokers_server

ZERODHA, ICICI = brokers_pb2.BROKER_ZERODHA, brokers_pb2.BROKER_ICICI
ADMIN_SECRET = "demo admin secret"
INDICES = {"INDEX:NIFTY50": "NSE:NIFTY 50", "INDEX:BANKNIFTY": "NSE:NIFTY BANK", "INDEX:SENSEX": "BSE:SENSEX"}
WAIT_SECONDS = 20


class Market(instruments_pb2_grpc.InstrumentServiceServicer, calendars_pb2_grpc.CalendarServiceServicer):
    """What brokers asks of market: some listings, and a session from yesterday to tomorrow."""

    def __init__(self) -> None:
        self.listed = ["NSE:TCS", "NSE:INFY", "BSE:SBIN", "INDEX:NIFTY50", "INDEX:SP500", "NSE:UNKNOWN"]

    async def ListInstruments(self, request: Any, context: Any) -> instruments_pb2.ListInstrumentsResponse:
        found = [each for each in self.listed if each.partition(":")[0] in request.exchanges]
        return instruments_pb2.ListInstrumentsResponse(
            instruments=[instruments_pb2.Instrument(id=each, exchange=each.partition(":")[0]) for each in found],
            sources=["zerodha"],
        )

    async def ResolveInstrument(self, request: Any, context: Any) -> instruments_pb2.ResolveInstrumentResponse:
        raise AssertionError("brokers resolves nothing")

    async def ListSessions(self, request: Any, context: Any) -> calendars_pb2.ListSessionsResponse:
        now = datetime.now(UTC)
        opens_at, closes_at = Timestamp(), Timestamp()
        opens_at.FromDatetime(now - timedelta(days=1))
        closes_at.FromDatetime(now + timedelta(days=1))
        session = calendars_pb2.TradingSession(date=f"{now:%Y-%m-%d}", opens_at=opens_at, closes_at=closes_at)
        return calendars_pb2.ListSessionsResponse(
            sessions=[session], known_from=request.from_date, known_through=request.to_date
        )


@dataclass
class Suite:
    """Brokers between its vendors' stand-ins, a market and NATS."""

    vendors: RunningBrokers
    ticker: KiteTickerServer
    kite: KiteAccount
    breeze: BreezeAccount
    sessions: Any
    quotes: Any
    market_address: str
    stack: AsyncExitStack

    async def open_zerodha(self, account: KiteAccount | None = None, **changed: Any) -> Any:
        kite = account or self.kite
        given = {
            "api_key": kite.api_key,
            "api_secret": kite.api_secret,
            "request_token": kite.new_request_token(),
            "secret": ADMIN_SECRET,
            **changed,
        }
        answer = await self.sessions.ActivateZerodha(sessions_pb2.ActivateZerodhaRequest(**given), timeout=30)
        return answer.status

    async def open_icici(self, **changed: Any) -> Any:
        given = {"api_session": self.breeze.new_api_session(), "caller_is_admin": True, **changed}
        answer = await self.sessions.ActivateIcici(sessions_pb2.ActivateIciciRequest(**given), timeout=30)
        return answer.status

    async def status(self, broker: Any) -> Any:
        request = sessions_pb2.GetSessionStatusRequest(broker=broker)
        return (await self.sessions.GetSessionStatus(request, timeout=10)).status

    async def ask(self, broker: Any, *instruments: str) -> list[Any]:
        request = quotes_pb2.GetBrokerQuotesRequest(broker=broker, instruments=instruments)
        return list((await self.quotes.GetBrokerQuotes(request, timeout=20)).quotes)

    async def start_market(self) -> Market:
        market = Market()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
        server = grpc.aio.server()
        instruments_pb2_grpc.add_InstrumentServiceServicer_to_server(market, server)
        calendars_pb2_grpc.add_CalendarServiceServicer_to_server(market, server)
        server.add_insecure_port(self.market_address)
        await server.start()
        self.stack.push_async_callback(server.stop, 0)
        return market


@asynccontextmanager
async def refused(code: grpc.StatusCode, reason: str) -> AsyncIterator[None]:
    """Expect a gRPC failure."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        yield
    assert (failure.value.code(), reason_of(failure.value)) == (code, reason)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.02)


@pytest.fixture
def vendors() -> Iterator[RunningBrokers]:
    with brokers_server() as running_vendors:
        yield running_vendors


@pytest.fixture
def ticker(vendors: RunningBrokers) -> Iterator[KiteTickerServer]:
    with kite_ticker_server(vendors.kite.accounts) as server:
        yield server


@pytest.fixture
async def suite(
    tmp_path: Path, nats: NatsServer, vendors: RunningBrokers, ticker: KiteTickerServer
) -> AsyncIterator[Suite]:
    kite = vendors.kite.accounts.add(KiteAccount())
    breeze = vendors.breeze.accounts.add(BreezeAccount())
    address, market_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(nats.url),
        brokers_address=address,
        market_address=market_address,
        kite_root_url=vendors.url,
        breeze_root_url=vendors.url,
        kite_ticker_url=ticker.url,
        zerodha_admin_secret=SecretStr(ADMIN_SECRET),
        icici_api_key=SecretStr(breeze.api_key),
        icici_api_secret=SecretStr(breeze.api_secret),
        brokers_sandbox_url=vendors.url,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(build(settings))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Suite(
            vendors,
            ticker,
            kite,
            breeze,
            SessionServiceStub(channel),
            BrokerQuoteServiceStub(channel),
            market_address,
            stack,
        )


async def events(nats: NatsServer) -> list[tuple[str, bytes, str]]:
    """Return what EVENTS holds: subject, payload, message id."""
    client = Client()
    await client.connect(nats.url)
    try:
        jetstream = client.jetstream()
        count = (await jetstream.stream_info("EVENTS")).state.messages
        messages = [await jetstream.get_msg("EVENTS", seq=number) for number in range(1, count + 1)]
    finally:
        await client.close()
    return [
        (message.subject or "", message.data or b"", (message.headers or {})["Nats-Msg-Id"]) for message in messages
    ]


async def test_before_any_activation_nothing_is_valid(suite: Suite) -> None:
    for broker in (ZERODHA, ICICI):
        status = await suite.status(broker)
        assert (status.initialized, status.valid, status.feed) == (False, False, sessions_pb2.FEED_STATE_OFF)
        assert not any(status.HasField(name) for name in ("token_type", "set_at", "expires_at", "last_tick_at"))
        async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
            await suite.ask(broker, "NSE:TCS")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "BROKER_MISSING"):
        await suite.status(brokers_pb2.BROKER_UNSPECIFIED)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "BROKER_MISSING"):
        await suite.ask(brokers_pb2.BROKER_UNSPECIFIED, "NSE:TCS")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_INSTRUMENTS"):
        await suite.ask(ZERODHA, *["NSE:TCS"] * 501)
    assert suite.vendors.kite.journal.requests == []


async def test_the_readme_names_what_a_running_service_tells_and_it_moves(suite: Suite) -> None:
    assert told_metrics("bourse_brokers_") == promised_metrics(Path(__file__).parents[2] / "README.md")
    asked = {"broker": "zerodha", "call": "session", "outcome": "ok"}
    opened = value_of("bourse_brokers_calls_total", asked) or 0.0
    assert value_of("bourse_brokers_session_active", {"broker": "zerodha"}) == 0
    assert value_of("bourse_brokers_session_remaining_seconds", {"broker": "zerodha"}) is None
    assert value_of("bourse_brokers_feed_state", {"state": "off"}) == 1
    assert value_of("bourse_brokers_tick_age_seconds") is None
    await suite.start_market()
    await suite.open_zerodha()
    assert value_of("bourse_brokers_calls_total", asked) == opened + 1
    assert value_of("bourse_brokers_session_active", {"broker": "zerodha"}) == 1
    assert value_of("bourse_brokers_session_active", {"broker": "icici"}) == 0
    assert 0 < (value_of("bourse_brokers_session_remaining_seconds", {"broker": "zerodha"}) or 0.0) <= 86_400
    async with asyncio.timeout(WAIT_SECONDS):
        while value_of("bourse_brokers_ticker_links_connected") != 1:
            await asyncio.sleep(0.02)
    assert value_of("bourse_brokers_ticker_links") == 1
    assert (value_of("bourse_brokers_ticker_instruments") or 0.0) > 0
    assert value_of("bourse_brokers_feed_state", {"state": "off"}) == 0
    for use in ("syncs", "quotes"):
        assert value_of("bourse_brokers_resting", {"broker": "zerodha", "use": use}) == 0


async def test_zerodhas_session_is_opened_and_told_of(suite: Suite, nats: NatsServer) -> None:
    asked_at = datetime.now(UTC)
    status = await suite.open_zerodha()
    assert (status.initialized, status.valid, status.token_type) == (True, True, "access_token")
    set_at = status.set_at.ToDatetime(tzinfo=UTC)
    assert asked_at <= set_at <= datetime.now(UTC)
    expires_at = status.expires_at.ToDatetime(tzinfo=UTC)
    assert (expires_at.hour, expires_at.minute, expires_at.second) == (0, 30, 0)
    assert timedelta(0) < expires_at - asked_at <= timedelta(days=1)

    async def is_told() -> bool:
        return bool(await events(nats))

    await until(is_told)
    subject, payload, message_id = (await events(nats))[0]
    assert subject == "events.brokers.session_activated"
    assert events_pb2.SessionActivated.FromString(payload) == events_pb2.SessionActivated(
        broker=ZERODHA, expires_at=status.expires_at
    )
    assert message_id == f"zerodha:{set_at.isoformat()}:session_activated"


async def test_nobody_opens_a_session_without_permission(suite: Suite) -> None:
    wrong: list[dict[str, Any]] = [{"secret": "wrong"}, {"secret": None}, {"secret": None, "caller_is_admin": True}]
    for given in wrong:
        async with refused(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED"):
            await suite.open_zerodha(**given)
    async with refused(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED"):
        await suite.open_icici(caller_is_admin=False, secret="anything")
    assert suite.vendors.kite.journal.requests == suite.vendors.breeze.journal.requests == []


async def test_a_code_is_asked_for_once_and_a_refusal_keeps_the_session(suite: Suite) -> None:
    first = await suite.open_zerodha()
    wrong: list[dict[str, Any]] = [{"request_token": "used"}, {"api_secret": "wrong"}]
    for given in wrong:
        async with refused(grpc.StatusCode.UNAUTHENTICATED, "BROKER_TOKEN_INVALID"):
            await suite.open_zerodha(**given)
    suite.vendors.kite.faults.next("/session/token", Fault.server_error(503))
    async with refused(grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE"):
        await suite.open_zerodha()
    suite.vendors.kite.faults.next("/session/token", Fault.missing_keys("access_token"))
    async with refused(grpc.StatusCode.UNAVAILABLE, "BROKER_ANSWER_INVALID"):
        await suite.open_zerodha()
    assert suite.vendors.kite.journal.count("/session/token") == 5
    status = await suite.status(ZERODHA)
    assert (status.valid, status.set_at) == (True, first.set_at)
    assert [quote.instrument for quote in await suite.ask(ZERODHA, "NSE:TCS")] == ["NSE:TCS"]


async def test_kites_quotes_are_answered_in_the_form_asked(suite: Suite) -> None:
    await suite.open_zerodha()
    asked = ["NSE:M&M", "INDEX:NIFTY50", "INDEX:BANKNIFTY", "INDEX:SENSEX", "BSE:SBIN", "NASDAQ:AAPL", "NSE:NONE"]
    quotes = await suite.ask(ZERODHA, *asked)
    assert [quote.instrument for quote in quotes] == asked[:5]
    for quote in quotes:
        listing = BY_KEY[INDICES.get(quote.instrument, quote.instrument)]
        assert quote.last_price == listing.price
        assert quote.low <= quote.last_price <= quote.high
        assert quote.previous_close == pytest.approx(listing.price * 0.995, abs=0.01)
        assert quote.HasField("volume") is not quote.instrument.startswith("INDEX:")
        age = datetime.now(UTC) - quote.as_of.ToDatetime(tzinfo=UTC)
        assert timedelta(0) <= age < timedelta(seconds=10)
    assert suite.vendors.kite.journal.count("/quote") == 1


async def test_callers_share_kites_calls_and_no_two_are_closer_than_a_second(suite: Suite) -> None:
    await suite.open_zerodha()
    symbols = ["TCS", "INFY", "RELIANCE", "SBIN", "ITC", "LT", "M&M", "TITAN"]
    for round_of in range(3):
        names = [f"NSE:{symbol}" for symbol in symbols[round_of:]]
        answers = await asyncio.gather(*(suite.ask(ZERODHA, name) for name in names))
        assert [[quote.instrument for quote in answer] for answer in answers] == [[name] for name in names]
    times = [request.at for request in suite.vendors.kite.journal.requests if request.path == "/quote"]
    # The first finds a free slot, whoever asks meanwhile goes with the next call, and who comes later finds its answer.
    assert 2 <= len(times) <= 4
    # When they came, not when they were sent: a laden machine brings one late, and the next is nearer to it.
    assert all(later - earlier >= 0.7 for earlier, later in pairwise(times))


async def test_a_token_that_kite_refuses_ends_the_session(suite: Suite, nats: NatsServer) -> None:
    status = await suite.open_zerodha()
    suite.kite.expire_tokens()
    async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
        await suite.ask(ZERODHA, "NSE:TCS")
    asked = len(suite.vendors.kite.journal.requests)
    async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
        await suite.ask(ZERODHA, "NSE:TCS")
    assert len(suite.vendors.kite.journal.requests) == asked
    after = await suite.status(ZERODHA)
    assert (after.initialized, after.valid, after.expires_at) == (True, False, status.expires_at)

    async def is_told() -> bool:
        return len(await events(nats)) == 2

    await until(is_told)
    subject, payload, _ = (await events(nats))[1]
    assert subject == "events.brokers.session_expired"
    assert events_pb2.SessionExpired.FromString(payload).was_refused


async def test_a_failure_of_kite_ends_no_session(suite: Suite) -> None:
    await suite.open_zerodha()
    suite.vendors.kite.faults.next("/quote", Fault.throttled())
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "BROKER_THROTTLED"):
        await suite.ask(ZERODHA, "NSE:TCS")
    assert (await suite.status(ZERODHA)).valid
    suite.vendors.kite.upstream.listings["NSE:TCS"] = replace(BY_KEY["NSE:TCS"], price=0)
    assert [quote.instrument for quote in await suite.ask(ZERODHA, "NSE:TCS", "NSE:INFY")] == ["NSE:INFY"]


async def test_the_feed_starts_with_what_market_lists_and_ends_with_the_session(suite: Suite) -> None:
    await suite.open_zerodha()
    assert (await suite.status(ZERODHA)).feed == sessions_pb2.FEED_STATE_CONNECTING
    assert suite.ticker.subscriptions == []
    await suite.start_market()
    wanted = [BY_KEY[name].token for name in ("NSE:TCS", "NSE:INFY", "BSE:SBIN", "NSE:NIFTY 50")]
    await asyncio.to_thread(suite.ticker.wait_for_subscriptions, dict.fromkeys(wanted, Mode.FULL), WAIT_SECONDS)
    assert [set(each) for each in suite.ticker.subscriptions] == [set(wanted)]
    suite.kite.expire_tokens()
    async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
        await suite.ask(ZERODHA, "NSE:TCS")
    await asyncio.to_thread(suite.ticker.wait_for_connections, 0)

    async def is_off() -> bool:
        return bool((await suite.status(ZERODHA)).feed == sessions_pb2.FEED_STATE_OFF)

    await until(is_off)


async def test_the_sandboxs_session_prices_and_feeds_nothing(suite: Suite) -> None:
    sandbox = suite.vendors.kite.accounts.add(KiteAccount(api_key="sandbox-kite"))
    await suite.start_market()
    status = await suite.open_zerodha(sandbox)
    assert (status.valid, status.feed) == (True, sessions_pb2.FEED_STATE_OFF)
    async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
        await suite.ask(ZERODHA, "NSE:TCS")
    assert [request.path for request in suite.vendors.kite.journal.requests] == ["/session/token"]


async def test_icicis_session_is_opened_with_the_configured_key(suite: Suite) -> None:
    status = await suite.open_icici()
    assert (status.initialized, status.valid) == (True, True)
    assert not status.HasField("token_type")
    expires_at = status.expires_at.ToDatetime(tzinfo=UTC)
    assert (expires_at.hour, expires_at.minute) == (18, 30)
    for given in ({"api_session": "used"}, {"api_key": "nobodys"}):
        async with refused(grpc.StatusCode.UNAUTHENTICATED, "BROKER_TOKEN_INVALID"):
            await suite.open_icici(**given)
    assert (await suite.status(ICICI)).valid


async def test_icicis_quotes_are_asked_for_by_its_own_codes(suite: Suite) -> None:
    await suite.open_icici()
    asked = ["NSE:RELIANCE", "NSE:M&M", "BSE:SBIN", "NSE:UNLISTED", "INDEX:SENSEX", "INDEX:NIFTY50", "NSE:INFY"]
    quotes = await suite.ask(ICICI, *asked)
    # The stand-in has no indices: ICICI is asked for the NIFTY and answers that it has none.
    assert [quote.instrument for quote in quotes] == ["NSE:RELIANCE", "NSE:M&M", "BSE:SBIN", "NSE:INFY"]
    for quote in quotes:
        assert quote.last_price == BY_KEY[quote.instrument].price
        assert quote.volume == 1_234_567
        age = datetime.now(UTC) - quote.as_of.ToDatetime(tzinfo=UTC)
        assert timedelta(0) <= age < timedelta(seconds=10)
    assert suite.vendors.breeze.journal.count("/quotes") == 5
    assert suite.vendors.breeze.journal.count("/customerdetails") == 1
    again = await suite.ask(ICICI, *asked)
    assert again == quotes
    assert suite.vendors.breeze.journal.count("/quotes") == 5


async def test_a_token_that_icici_refuses_ends_the_session(suite: Suite) -> None:
    await suite.open_icici()
    suite.vendors.breeze.faults.next("/quotes", Fault.breeze_error(401, "Resource not available."))
    async with refused(grpc.StatusCode.UNAVAILABLE, "SESSION_INACTIVE"):
        await suite.ask(ICICI, "NSE:RELIANCE")
    assert not (await suite.status(ICICI)).valid


async def test_without_icicis_list_of_securities_nothing_is_asked(suite: Suite) -> None:
    await suite.open_icici()
    suite.vendors.breeze.faults.always("SecurityMaster.zip", Fault.server_error(503))
    async with refused(grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE"):
        await suite.ask(ICICI, "NSE:TCS")
    assert suite.vendors.breeze.journal.count("/quotes") == 0


async def test_icicis_budget_of_a_minute_is_kept(suite: Suite) -> None:
    await suite.open_icici()
    symbols = [key for key, listing in BY_KEY.items() if listing.icici_code is not None]
    for round_of in range(100):
        suite.vendors.breeze.upstream.listings[f"NSE:S{round_of}"] = replace(
            BY_KEY["NSE:TCS"], symbol=f"S{round_of}", icici_code=f"CODE{round_of}", isin=f"INE{round_of:09}"
        )
    asked = [*symbols, *(f"NSE:S{number}" for number in range(100))]
    found: dict[str, Any] = {}
    for begin in range(0, len(asked), 40):
        found |= {quote.instrument: quote for quote in await suite.ask(ICICI, *asked[begin : begin + 40])}
        if len(found) == 100:
            break
    assert suite.vendors.breeze.journal.count("/quotes") == 100
    with pytest.raises(grpc.aio.AioRpcError) as spent:
        await suite.ask(ICICI, asked[-1])
    assert reason_of(spent.value) == "BROKER_BUDGET_SPENT"
    assert 0 < (retry_after_of(spent.value) or 0) <= 60
    assert suite.vendors.breeze.journal.count("/quotes") == 100


async def test_events_arrive_by_a_real_nats_that_was_away(tmp_path: Path, nats: NatsServer) -> None:
    clock = ManualClock(datetime(2026, 11, 20, 6, 30, tzinfo=UTC))
    book = SessionBook(clock)
    settings = ProcessSettings(run_dir=tmp_path, nats_url=SecretStr(nats.url))
    session = ActiveSession(
        broker=Broker.ZERODHA,
        api_key=Secret("key"),
        api_secret=None,
        token=Secret("token"),
        set_at=clock.now(),
        expires_at=clock.now() + timedelta(hours=1),
        is_simulated=False,
    )
    async with Bus.open(settings, name="test", streams=[EVENTS]) as bus:
        announcer = Announcer(BusSessionEvents(bus), clock)
        keeper = SessionKeeper(book, announcer, clock)
        async with running(announcer.run()), asyncio.timeout(60):
            await bus.wait_until_ready()
            book.put(session)

            async def has(count: int) -> bool:
                await clock.advance(0.01)
                return len(await events(nats)) == count

            await until(lambda: has(1))
            nats.kill()
            while bus.is_ready:
                await asyncio.sleep(0.02)
            await clock.advance(1800)
            nats.start()
            await bus.wait_until_ready()
            await clock.advance(31)
            await until(lambda: has(2))
            await clock.advance(1800)
            await until(lambda: has(3))
        await keeper.finish()
    assert [subject for subject, _, _ in await events(nats)] == [
        "events.brokers.session_activated",
        "events.brokers.session_expiring",
        "events.brokers.session_expired",
    ]
    assert not events_pb2.SessionExpired.FromString((await events(nats))[2][1]).was_refused


@pytest.fixture
def environment(tmp_path: Path, nats: NatsServer, vendors: RunningBrokers) -> dict[str, str]:
    return {
        **os.environ,
        "RUN_DIR": str(tmp_path),
        "NATS_URL": nats.url,
        "BROKERS_ADDRESS": f"127.0.0.1:{free_port()}",
        "MARKET_ADDRESS": f"127.0.0.1:{free_port()}",
        "KITE_ROOT_URL": vendors.url,
        "KITE_TICKER_URL": f"ws://127.0.0.1:{free_port()}",
        "ZERODHA_ADMIN_SECRET": ADMIN_SECRET,
    }


async def test_sessions_die_with_the_process(environment: dict[str, str], vendors: RunningBrokers) -> None:
    kite = vendors.kite.accounts.add(KiteAccount())
    address = environment["BROKERS_ADDRESS"]
    request = sessions_pb2.GetSessionStatusRequest(broker=ZERODHA)
    statuses: list[Any] = []
    for is_first in (True, False):
        process = await asyncio.to_thread(subprocess.Popen, python_module("brokers"), env=environment)
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                sessions: Any = SessionServiceStub(channel)
                health = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True
                )
                assert health.status == health_pb2.HealthCheckResponse.SERVING
                if is_first:
                    activation = sessions_pb2.ActivateZerodhaRequest(
                        api_key=kite.api_key,
                        api_secret=kite.api_secret,
                        request_token=kite.new_request_token(),
                        secret=ADMIN_SECRET,
                    )
                    await sessions.ActivateZerodha(activation, timeout=30)
                statuses.append((await sessions.GetSessionStatus(request, timeout=10)).status)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        finally:
            stop_process(process)
    assert (statuses[0].initialized, statuses[0].valid) == (True, True)
    assert statuses[1] == sessions_pb2.SessionStatus(broker=ZERODHA, feed=sessions_pb2.FEED_STATE_OFF)
