"""Quotes of sources of many capabilities, given again and shared between replicas."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.clock import ManualClock
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability, NothingKnown
from market.domain.freshness import SessionFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.last_prices import LastPrices
from market.domain.lives import Lives
from market.domain.ports import Calendar
from market.domain.quote_sources import KEEP_SECONDS, QuotesOf, QuoteSources
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.reuse import VENDOR_SECONDS, Reuse
from market.domain.source_failures import SourceRefused, SourcesUnavailable
from market.providers.calendars.exchanges import load_calendar

OPEN = datetime(2026, 1, 5, 17, tzinfo=UTC)  # Monday noon in New York; Mumbai has closed
CLOSED = datetime(2026, 1, 10, 17, tzinfo=UTC)  # Saturday


def share(instrument_id: str, currency: str = "USD") -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, currency)


APPLE, IBM, TCS = share("NASDAQ:AAPL"), share("NYSE:IBM"), share("NSE:TCS", "INR")
KNOWN = [APPLE, IBM, TCS]


class Vendor:
    """A source of many capabilities that says 100 for everything it covers, and remembers what it was asked."""

    capabilities = frozenset({Capability.QUOTES, Capability.PROFILES})

    def __init__(self, name: str, clock: ManualClock, *exchanges: Exchange, is_simulated: bool = False) -> None:
        self.name = name
        self.is_simulated = is_simulated
        self.clock = clock
        self.exchanges = exchanges
        self.price = 100.0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[list[str]] = []

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return capability in self.capabilities and instrument.exchange in self.exchanges

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self.asked.append([each.id for each in instruments])
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        provenance = Provenance(self.name, self.clock.now(), Freshness.LIVE)
        return {each.id: Quote(each, self.price, provenance) for each in instruments}


class FakeShelf:
    """What replicas share of quotes."""

    def __init__(self) -> None:
        self.kept: dict[str, Answer[Any]] = {}
        self.reads: list[list[str]] = []

    async def read(self, keys: Collection[str]) -> Mapping[str, Answer[Any]]:
        self.reads.append(list(keys))
        await asyncio.sleep(0)
        return {key: self.kept[key] for key in keys if key in self.kept}

    async def keep(self, answers: Mapping[str, Answer[Any]], *, ttl_seconds: float) -> None:
        assert ttl_seconds == KEEP_SECONDS
        self.kept |= answers


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return load_calendar(OPEN.date())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPEN)


@pytest.fixture
def yahoo(clock: ManualClock) -> Vendor:
    return Vendor("yahoo", clock, Exchange.NASDAQ, Exchange.NYSE, Exchange.NSE)


def quotes_of(calendar: Calendar, clock: ManualClock, *vendors: Vendor, **options: Any) -> QuoteSources:
    rule = SessionFreshness(calendar, clock)
    seconds = dict.fromkeys((vendor.name for vendor in vendors), VENDOR_SECONDS)
    reuse = Reuse(seconds, last_prices=LastPrices(rule), rule=rule, clock=clock, calendar=calendar)
    sources = [QuotesOf(vendor, KNOWN, answers_in_bulk=True) for vendor in vendors]
    return QuoteSources(sources, clock, reuse=reuse, **options)


async def test_quotes_serve_thirty_seconds_in_hours_and_five_minutes_outside_by_venue(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    quotes = quotes_of(calendar, clock, yahoo)
    await quotes.latest([APPLE, TCS])
    await clock.advance(29.9)
    assert len(await quotes.latest([APPLE, TCS])) == 2
    await clock.advance(0.1)
    await quotes.latest([APPLE, TCS])
    await clock.advance(269.9)
    await quotes.latest([TCS])
    await clock.advance(0.1)
    await quotes.latest([TCS])
    assert yahoo.asked == [[APPLE.id, TCS.id], [APPLE.id], [TCS.id]]


async def test_over_the_weekend_a_quote_of_friday_serves_five_minutes(calendar: Calendar) -> None:
    clock = ManualClock(CLOSED)
    yahoo = Vendor("yahoo", ManualClock(OPEN), Exchange.NASDAQ)
    quotes = quotes_of(calendar, clock, yahoo)
    await quotes.latest([APPLE])
    await clock.advance(299.9)
    await quotes.latest([APPLE])
    assert len(yahoo.asked) == 1
    await clock.advance(0.1)
    await quotes.latest([APPLE])
    assert len(yahoo.asked) == 2


async def test_a_source_of_many_capabilities_has_the_instruments_it_covers(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    zerodha = Vendor("zerodha", clock, Exchange.NSE)
    answer = await quotes_of(calendar, clock, zerodha, yahoo).latest(KNOWN)
    assert {each: quote.provenance.source for each, quote in answer.items()} == {
        TCS.id: "zerodha",
        APPLE.id: "yahoo",
        IBM.id: "yahoo",
    }


async def test_a_source_that_knows_nothing_has_not_failed(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    yahoo.failure = NothingKnown()
    assert await quotes_of(calendar, clock, yahoo).latest([APPLE]) == {}


async def test_a_rate_limit_on_quotes_leaves_the_vendor_alone_for_everything(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    desk = AnswerDesk([yahoo], clock, lives=Lives(calendar, clock))
    quotes = quotes_of(calendar, clock, yahoo, guards=desk.guards)
    yahoo.failure = SourceRefused("limits how often it may be asked", retry_after_seconds=60.0, opens_at_once=True)
    with pytest.raises(SourcesUnavailable):
        await quotes.latest([APPLE])
    assert desk.failing == quotes.failing == ["yahoo"]

    async def never(source: Any) -> str:
        raise AssertionError(source)

    with pytest.raises(SourcesUnavailable, match="yahoo limits how often it may be asked"):
        await desk.answers(Capability.PROFILES, str).one(APPLE.id, never, instrument=APPLE)


async def test_a_quote_nobody_waits_for_any_more_is_kept(calendar: Calendar, clock: ManualClock, yahoo: Vendor) -> None:
    quotes = quotes_of(calendar, clock, yahoo)
    yahoo.gate.clear()
    reader = asyncio.create_task(quotes.latest([APPLE]))
    while not yahoo.asked:
        await asyncio.sleep(0)
    reader.cancel()
    yahoo.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    await quotes.latest([APPLE])
    assert len(yahoo.asked) == 1


# --- replicas


async def test_replicas_share_quotes(calendar: Calendar, clock: ManualClock, yahoo: Vendor) -> None:
    shelf = FakeShelf()
    one, other = (quotes_of(calendar, clock, yahoo, shared=shelf) for _ in range(2))
    await one.latest([APPLE])
    await clock.advance(20.0)
    assert (await other.latest([APPLE]))[APPLE.id].provenance.as_of == OPEN
    await clock.advance(10.0)
    await other.latest([APPLE])
    assert yahoo.asked == [[APPLE.id]] * 2, "thirty seconds from when the other replica was answered"


async def test_another_replica_s_quote_stands_in(calendar: Calendar, clock: ManualClock, yahoo: Vendor) -> None:
    shelf = FakeShelf()
    await quotes_of(calendar, clock, yahoo, shared=shelf).latest([APPLE])
    await clock.advance(60.0)
    yahoo.failure = RuntimeError("broken")
    answer = await quotes_of(calendar, clock, yahoo, shared=shelf).latest([APPLE])
    assert answer[APPLE.id].provenance == Provenance("yahoo", OPEN, Freshness.STALE)


async def test_the_shared_quotes_are_not_looked_up_for_what_was_just_missing(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    shelf = FakeShelf()
    quotes = quotes_of(calendar, clock, yahoo, shared=shelf)
    yahoo.failure = RuntimeError("broken")
    for _ in range(2):
        with pytest.raises(SourcesUnavailable):
            await quotes.latest([APPLE])
    assert shelf.reads == [[APPLE.id]]
    await clock.advance(1.0)
    with pytest.raises(SourcesUnavailable):
        await quotes.latest([APPLE])
    assert len(shelf.reads) == 2


async def test_ten_thousand_readers_of_one_cold_quote_make_one_call(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    shelf = FakeShelf()
    quotes = quotes_of(calendar, clock, yahoo, shared=shelf)
    yahoo.gate.clear()
    readers = [asyncio.create_task(quotes.latest([APPLE])) for _ in range(10_000)]
    for _ in range(20):
        await asyncio.sleep(0)
    yahoo.gate.set()
    answers = await asyncio.gather(*readers)
    assert {answer[APPLE.id].last_price for answer in answers} == {100.0}
    assert (yahoo.asked, shelf.reads) == ([[APPLE.id]], [[APPLE.id]])


@pytest.mark.parametrize(
    "change",
    [
        {"source": "sample", "is_simulated": True},
        {"source": "no longer configured"},
        {"answered_at": OPEN + timedelta(minutes=2)},
        {"answered_at": OPEN - timedelta(seconds=40)},
    ],
)
async def test_a_shared_quote_that_does_not_serve_is_passed_over(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor, change: dict[str, Any]
) -> None:
    shelf = FakeShelf()
    foreign = Quote(APPLE, 1.0, Provenance("yahoo", OPEN, Freshness.LIVE))
    shelf.kept[APPLE.id] = replace(Answer(foreign, "yahoo", OPEN, OPEN, is_simulated=False), **change)
    answer = await quotes_of(calendar, clock, yahoo, shared=shelf).latest([APPLE])
    assert answer[APPLE.id].last_price == 100.0


async def test_an_older_shared_quote_does_not_replace_a_newer_one(
    calendar: Calendar, clock: ManualClock, yahoo: Vendor
) -> None:
    shelf = FakeShelf()
    quotes = quotes_of(calendar, clock, yahoo, shared=shelf)
    await quotes.latest([APPLE])
    older = replace(shelf.kept[APPLE.id].value, last_price=1.0)
    shelf.kept[APPLE.id] = replace(shelf.kept[APPLE.id], value=older, answered_at=OPEN - timedelta(seconds=1))
    yahoo.failure = RuntimeError("broken")
    await clock.advance(60.0)
    assert (await quotes.latest([APPLE]))[APPLE.id].last_price == 100.0


async def test_simulated_quotes_are_not_shared(calendar: Calendar, clock: ManualClock) -> None:
    shelf = FakeShelf()
    sample = Vendor("sample", clock, Exchange.NASDAQ, is_simulated=True)
    await quotes_of(calendar, clock, sample, shared=shelf).latest([APPLE])
    assert (shelf.kept, shelf.reads) == ({}, [])
