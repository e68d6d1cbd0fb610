import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerTokenInvalid, BrokerUnavailable, FeedUnwanted, MarketUnavailable
from brokers.domain.feeding import Feeding
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession, FeedState, FeedStatus, SessionBook
from chassis.clock import ManualClock

START = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
TOKENS = {"INDEX:NIFTY50": 256265, "NSE:TCS": 2953217, "NSE:INFY": 408065}


class Feed:
    """A feed that is live while it runs."""

    def __init__(self) -> None:
        self.status = FeedStatus()
        self.history: list[str] = []
        self.tokens: Mapping[str, int] = {}
        self.breaks = False

    async def start(self, session: ActiveSession, tokens: Mapping[str, int]) -> None:
        if self.breaks:
            raise RuntimeError("broken")
        self.tokens = tokens
        self.status = FeedStatus(FeedState.LIVE, START)
        self.history.append(f"start {session.token.reveal()}")

    async def stop(self) -> None:
        self.history.append("stopping")
        await asyncio.sleep(0)  # as a connection takes to close
        await asyncio.sleep(0)
        self.status = FeedStatus()
        self.history.append("stopped")


class Market:
    def __init__(self) -> None:
        self.is_away = False
        self.is_fed_from_elsewhere = False
        self.asked = 0

    async def indian_instruments(self) -> Sequence[str]:
        self.asked += 1
        if self.is_away:
            raise MarketUnavailable
        if self.is_fed_from_elsewhere:
            raise FeedUnwanted
        return list(TOKENS)


class Kite:
    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def tokens(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, int]:
        if self.failure is not None:
            raise self.failure
        return {each: TOKENS[each] for each in instruments}


class Studio:
    """A feeding and what is around it."""

    def __init__(self, *, max_instruments: int = 3000) -> None:
        self.clock = ManualClock(START)
        self.book = SessionBook(self.clock)
        self.feed, self.market, self.kite = Feed(), Market(), Kite()
        self.feeding = Feeding(
            self.feed, self.market, self.kite, book=self.book, clock=self.clock, max_instruments=max_instruments
        )

    @property
    def state(self) -> FeedState:
        return self.feeding.status.state


def a_session(token: str = "a", *, broker: Broker = Broker.ZERODHA, is_simulated: bool = False) -> ActiveSession:
    return ActiveSession(
        broker=broker,
        api_key=Secret("key"),
        api_secret=None,
        token=Secret(token),
        set_at=START,
        expires_at=START + timedelta(hours=5),
        is_simulated=is_simulated,
    )


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio()
    yield studio
    await studio.feeding.finish()


async def test_a_session_starts_the_feed_with_kites_tokens(studio: Studio) -> None:
    states = [studio.state]
    studio.book.put(a_session())
    states.append(studio.state)
    assert states == [FeedState.OFF, FeedState.CONNECTING]
    await settle()
    assert studio.feed.history == ["start a"]
    assert studio.feed.tokens == TOKENS
    assert studio.feeding.status == FeedStatus(FeedState.LIVE, START)


async def test_a_market_that_takes_its_prices_from_elsewhere_is_not_fed_until_it_does(studio: Studio) -> None:
    studio.market.is_fed_from_elsewhere = True
    studio.book.put(a_session())
    await settle()
    states = [studio.state]
    assert studio.feed.history == []
    studio.market.is_fed_from_elsewhere = False
    await studio.clock.advance(60)
    await settle()
    assert [*states, studio.state] == [FeedState.OFF, FeedState.LIVE]
    assert studio.feed.history == ["start a"]


@pytest.mark.parametrize("session", [a_session(is_simulated=True), a_session(broker=Broker.ICICI)])
async def test_neither_the_sandbox_nor_icici_is_fed_from(studio: Studio, session: ActiveSession) -> None:
    studio.book.put(session)
    await settle()
    assert studio.feed.history == []
    assert studio.state is FeedState.OFF


async def test_the_sandbox_in_place_of_a_real_session_ends_the_feed(studio: Studio) -> None:
    studio.book.put(a_session())
    await settle()
    studio.book.put(a_session(is_simulated=True))
    await settle()
    assert studio.feed.history == ["start a", "stopping", "stopped"]
    assert studio.state is FeedState.OFF


async def test_icicis_sessions_leave_the_feed_alone(studio: Studio) -> None:
    icici = a_session(broker=Broker.ICICI)
    studio.book.put(a_session())
    studio.book.put(icici)
    await settle()
    studio.book.refuse(icici)
    await settle()
    assert studio.feed.history == ["start a"]


async def test_no_more_is_subscribed_to_than_a_connection_takes() -> None:
    studio = Studio(max_instruments=2)
    studio.book.put(a_session())
    await settle()
    assert list(studio.feed.tokens) == ["INDEX:NIFTY50", "NSE:TCS"]
    await studio.feeding.finish()


@pytest.mark.parametrize("end", ["refused", "over"])
async def test_the_feed_ends_with_its_session(studio: Studio, end: str) -> None:
    session = a_session()
    studio.book.put(session)
    await settle()
    if end == "refused":
        studio.book.refuse(session)
    else:
        studio.book.end(session)
    await settle()
    assert studio.feed.history == ["start a", "stopping", "stopped"]
    assert studio.state is FeedState.OFF


async def test_the_next_sessions_feed_waits_for_the_earlier_ones_end(studio: Studio) -> None:
    studio.book.put(a_session("a"))
    await settle()
    studio.book.put(a_session("b"))
    studio.book.put(a_session("c"))
    await settle()
    assert studio.feed.history == ["start a", "stopping", "stopped", "start c"]


async def test_market_is_asked_until_it_answers(studio: Studio) -> None:
    studio.market.is_away = True
    studio.book.put(a_session())
    await settle()
    await studio.clock.advance(3600)
    assert studio.state is FeedState.CONNECTING
    assert 50 < studio.market.asked < 80
    studio.market.is_away = False
    await studio.clock.advance(60)
    await settle()
    assert studio.feed.history == ["start a"]


async def test_kite_is_asked_until_it_answers(studio: Studio) -> None:
    studio.kite.failure = BrokerUnavailable(Broker.ZERODHA)
    studio.book.put(a_session())
    await settle()
    studio.kite.failure = None
    await studio.clock.advance(1)
    await settle()
    assert studio.feed.history == ["start a"]


async def test_a_refused_token_ends_the_session(studio: Studio) -> None:
    studio.kite.failure = BrokerTokenInvalid(Broker.ZERODHA, "the session has ended")
    refused: list[ActiveSession] = []
    studio.book.on_refused(refused.append)
    session = a_session()
    studio.book.put(session)
    await settle()
    assert refused == [session]
    assert studio.state is FeedState.OFF
    assert studio.feed.history == []


async def test_a_feed_that_breaks_is_off_and_logged(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.feed.breaks = True
    studio.book.put(a_session())
    await settle()
    assert studio.state is FeedState.OFF
    assert "feed failed" in caplog.text


async def test_finishing_takes_the_feed_down(studio: Studio) -> None:
    studio.book.put(a_session())
    await settle()
    await studio.feeding.finish()
    assert studio.feed.history == ["start a", "stopping", "stopped"]
