import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from market.domain.bars import DailyBars
from market.domain.freshness import SimulatedFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory, InstrumentKind
from market.domain.last_prices import LastPrices
from market.domain.leadership import Alone
from market.domain.pattern_statistics import PatternStatistics
from market.domain.ports import CurrentSignals, Leadership, SharedSnapshot
from market.domain.quote_sources import KEEP_SECONDS, QuoteSources, SourcesUnavailable
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.signal_book import LOOK_AGAIN_SECONDS, NoSignals, SignalBook
from market.domain.snapshot_desk import FOLLOW_SECONDS, TELL_SECONDS, UNREAD_SECONDS, SnapshotDesk, SnapshotWarming
from market.domain.ticks import Tick, microseconds_of

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
OPENS_AT = datetime(2026, 1, 5, 3, 45, tzinfo=UTC)
INDIA = VenueSessions(
    Venue.INDIA,
    [Session(date(2026, 1, 5), OPENS_AT, OPENS_AT + timedelta(hours=6, minutes=15))],
    known_from=date(2026, 1, 1),
    known_through=date(2026, 1, 31),
)


def instrument(instrument_id: str, kind: InstrumentKind = InstrumentKind.EQUITY) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    sector = "Power" if kind is InstrumentKind.EQUITY else None
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, kind, "INR", sector)


NSE = [instrument(f"NSE:S{number}") for number in range(12)]
NIFTY = instrument("INDEX:NIFTY50", InstrumentKind.INDEX)
ALL = [*NSE, instrument("NASDAQ:AAPL"), NIFTY, instrument("FX:USDINR", InstrumentKind.CURRENCY_PAIR)]


class FakeMarket:
    """Quotes and bars from tables; counts what it is asked."""

    name = "sample"
    is_simulated = True
    answers_in_bulk = True
    configuration: Mapping[str, str | int] = {}

    def __init__(self, bars: Mapping[str, DailyBars]) -> None:
        self.bars = dict(bars)
        self.asked_bars: list[tuple[int, int]] = []
        self.failure: Exception | None = None
        self.quoted: set[str] = set()

    def instruments(self) -> Sequence[Instrument]:
        return ALL

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        if self.failure is not None:
            raise self.failure
        self.quoted |= {each.id for each in instruments}
        provenance = Provenance(self.name, NOON, Freshness.SIMULATED)
        return {each.id: Quote(each, 101.0, provenance, previous_close=100.0) for each in instruments}

    async def daily_bars(self, instruments: Sequence[Instrument], *, count: int) -> Sequence[DailyBars]:
        if self.failure is not None:
            raise self.failure
        self.asked_bars.append((len(instruments), count))
        return [self.bars[each.id].tail(count) for each in instruments]


class FakeRepository:
    """Keeps statistics in memory, or is away."""

    def __init__(self) -> None:
        self.kept: dict[date, PatternStatistics] = {}
        self.is_away = False

    async def read(self, session: date) -> PatternStatistics | None:
        if self.is_away:
            raise DatabaseUnavailable
        return self.kept.get(session)

    async def replace(self, statistics: PatternStatistics) -> None:
        if self.is_away:
            raise DatabaseUnavailable
        self.kept[statistics.session] = statistics


class OneCalendar:
    def sessions_of(self, venue: Venue) -> VenueSessions:
        assert venue is Venue.INDIA
        return INDIA


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture(scope="module")
def history(make_bars: Callable[..., DailyBars]) -> Mapping[str, DailyBars]:
    series = [make_bars(each.id, seed=number, count=300) for number, each in enumerate(ALL)]
    # All end on one session, as instruments of one exchange do.
    shared = series[0].sessions
    return {
        bars.instrument: DailyBars(bars.instrument, shared.copy(), *(getattr(bars, name) for name in COLUMNS))
        for bars in series
    }


COLUMNS = ("open", "high", "low", "close")


@pytest.fixture
def market(history: Mapping[str, DailyBars]) -> FakeMarket:
    return FakeMarket(history)


@pytest.fixture
def repository() -> FakeRepository:
    return FakeRepository()


@pytest.fixture
def book(market: FakeMarket, repository: FakeRepository, clock: ManualClock) -> SignalBook:
    return SignalBook(market, repository, clock)


@pytest.fixture
def last_prices() -> LastPrices:
    return LastPrices(SimulatedFreshness())


@pytest.fixture
def desk(market: FakeMarket, book: SignalBook, last_prices: LastPrices, clock: ManualClock) -> SnapshotDesk:
    return make_desk(market, last_prices, clock, signals=book)


def make_desk(
    market: FakeMarket,
    last_prices: LastPrices,
    clock: ManualClock,
    *,
    signals: CurrentSignals,
    quote_seconds: float = 0.0,
    leadership: Leadership | None = None,
    shared: SharedSnapshot | None = None,
) -> SnapshotDesk:
    return SnapshotDesk(
        InstrumentDirectory(ALL),
        QuoteSources([market], clock),
        last_prices=last_prices,
        signals=signals,
        calendar=OneCalendar(),
        clock=clock,
        quote_seconds=quote_seconds,
        leadership=leadership or Alone(clock),
        shared=shared,
    )


# --- signals


async def test_signals_are_on_nse_and_measured_on_every_equity(book: SignalBook, market: FakeMarket) -> None:
    signals = await book.current()
    newest = market.bars["NSE:S0"].last_session
    assert signals
    assert {each.instrument.partition(":")[0] for each in signals} == {"NSE"}
    assert {each.session for each in signals} == {newest}
    assert [instruments for instruments, _ in market.asked_bars] == [len(NSE), len(NSE) + 1]


async def test_a_session_is_measured_once_and_kept_for_the_next_start(
    book: SignalBook, market: FakeMarket, repository: FakeRepository, clock: ManualClock
) -> None:
    signals = await book.current()
    asked = len(market.asked_bars)
    assert list(repository.kept) == [market.bars["NSE:S0"].last_session]
    assert await book.current() is signals
    assert len(market.asked_bars) == asked
    again = await SignalBook(market, repository, clock).current()
    assert again == signals
    assert market.asked_bars[asked:] == [(len(NSE), market.asked_bars[0][1])]


async def test_a_new_session_brings_new_signals(book: SignalBook, market: FakeMarket, clock: ManualClock) -> None:
    whole = dict(market.bars)
    yesterday = whole["NSE:S0"].sessions[-2].astype(date)
    market.bars = {each: bars.until(yesterday) for each, bars in whole.items()}
    before = await book.current()
    market.bars = whole
    assert await book.current() is before
    await clock.advance(LOOK_AGAIN_SECONDS)
    after = await book.current()
    assert {each.session for each in before} == {yesterday}
    assert {each.session for each in after} == {whole["NSE:S0"].last_session}


async def test_the_same_session_is_not_looked_through_again(
    book: SignalBook, market: FakeMarket, clock: ManualClock
) -> None:
    signals = await book.current()
    await clock.advance(LOOK_AGAIN_SECONDS)
    assert await book.current() is signals
    assert len(market.asked_bars) == 3


async def test_a_database_that_is_away_costs_only_the_time_to_measure(
    book: SignalBook, market: FakeMarket, repository: FakeRepository, clock: ManualClock
) -> None:
    repository.is_away = True
    signals = await book.current()
    repository.is_away = False
    assert signals == await SignalBook(market, repository, clock).current()


async def test_without_bars_there_are_no_signals(book: SignalBook, market: FakeMarket) -> None:
    market.bars = {each: bars.tail(0) for each, bars in market.bars.items()}
    assert await book.current() == ()


# --- the snapshot


async def test_before_the_first_snapshot_it_is_warming(desk: SnapshotDesk) -> None:
    assert not await desk.is_warm()
    with pytest.raises(SnapshotWarming):
        desk.current()
    await desk.wait_until_warm(0.01)


async def test_a_snapshot_holds_levels_sectors_signals_and_hours(desk: SnapshotDesk, market: FakeMarket) -> None:
    await desk.refresh()
    snapshot = desk.current()
    assert snapshot.nifty is not None
    assert (snapshot.nifty.price, snapshot.nifty.change_percent) == (101.0, 1.0)
    assert snapshot.bank_nifty is None
    assert [(each.sector, each.change_percent, each.instruments) for each in snapshot.sectors] == [("Power", 1.0, 12)]
    assert snapshot.signals
    assert snapshot.market.is_open
    assert market.quoted == {"INDEX:NIFTY50", *(each.id for each in NSE)}
    assert await desk.is_warm()
    await desk.wait_until_warm(0.01)


async def test_newer_ticks_are_in_it(desk: SnapshotDesk, last_prices: LastPrices) -> None:
    last_prices.record("sample", [Tick("INDEX:NIFTY50", 110.0, microseconds_of(NOON) + 1, 100.0)])
    await desk.refresh()
    nifty = desk.current().nifty
    assert nifty is not None
    assert (nifty.price, nifty.change_percent) == (110.0, 10.0)


async def test_without_a_source_that_answers_there_is_none_and_it_is_said_why(
    desk: SnapshotDesk, market: FakeMarket
) -> None:
    market.failure = RuntimeError("broken")
    await desk.refresh()
    await desk.wait_until_warm(0.01)
    assert not await desk.is_warm()
    with pytest.raises(SourcesUnavailable, match="sample did not answer"):
        desk.current()


async def test_it_recovers_when_a_source_answers_again_and_goes_when_none_does(
    desk: SnapshotDesk, market: FakeMarket, clock: ManualClock
) -> None:
    market.failure = RuntimeError("broken")
    await desk.refresh()
    market.failure = None
    await desk.refresh()
    assert desk.current().nifty is not None
    assert await desk.is_warm()
    market.failure = RuntimeError("broken")
    await clock.advance(KEEP_SECONDS + 1)
    await desk.refresh()
    with pytest.raises(SourcesUnavailable):
        desk.current()
    assert not await desk.is_warm()


async def test_without_daily_bars_it_has_levels_and_sectors_and_no_signals(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals())
    await desk.refresh()
    snapshot = desk.current()
    assert (list(snapshot.signals), len(snapshot.sectors)) == ([], 1)
    assert snapshot.nifty is not None
    assert market.asked_bars == []


async def test_a_source_that_cannot_be_asked_in_bulk_is_asked_for_the_indices_alone(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    market.answers_in_bulk = False
    desk = make_desk(market, last_prices, clock, signals=NoSignals())
    await desk.refresh()
    assert market.quoted == {"INDEX:NIFTY50"}
    assert desk.current().sectors == []


async def test_between_two_questions_it_shows_the_last_answer_with_newer_ticks_in_it(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals(), quote_seconds=5.0)
    await desk.refresh()
    await desk.read()
    market.quoted.clear()
    await clock.advance(4.9)
    last_prices.record("sample", [Tick("INDEX:NIFTY50", 110.0, microseconds_of(NOON) + 1, 100.0)])
    await desk.refresh()
    nifty = desk.current().nifty
    assert nifty is not None
    assert nifty.price == 110.0
    assert market.quoted == set()
    await clock.advance(0.1)
    await desk.refresh()
    assert "INDEX:NIFTY50" in market.quoted


async def test_sources_that_count_are_left_alone_while_nobody_reads_it(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals(), quote_seconds=5.0)
    await desk.refresh()
    market.quoted.clear()
    await clock.advance(3_600.0)
    await desk.refresh()
    assert market.quoted == set()
    assert await desk.is_warm()
    first, second = await asyncio.gather(desk.read(), desk.read())
    assert "INDEX:NIFTY50" in market.quoted  # who reads it again is shown prices of now
    assert first is second
    market.quoted.clear()
    await clock.advance(UNREAD_SECONDS - 1)
    await desk.refresh()
    assert "INDEX:NIFTY50" in market.quoted
    market.quoted.clear()
    await clock.advance(5.0)
    await desk.refresh()
    assert market.quoted == set()


async def test_sources_that_may_be_asked_at_will_always_are(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals())
    await desk.refresh()
    market.quoted.clear()
    await clock.advance(3_600.0)
    await desk.refresh()
    assert "INDEX:NIFTY50" in market.quoted
    assert await desk.read() is desk.current()


async def test_after_a_failure_it_asks_again_at_once(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals(), quote_seconds=5.0)
    market.failure = RuntimeError("broken")
    await desk.refresh()
    market.failure = None
    await clock.advance(1.0)
    await desk.refresh()
    assert desk.current().nifty is not None


async def test_it_is_made_every_second_until_it_is_stopped(desk: SnapshotDesk, clock: ManualClock) -> None:
    async with desk.running():
        await desk.wait_until_warm(5.0)
        first = desk.current()
        while desk.current() is first:
            await clock.advance(1.0)
        assert desk.current().market.as_of > first.market.as_of
    last = desk.current()
    await clock.advance(10.0)
    assert desk.current() is last
    assert not await desk.is_warm()


async def test_a_failed_round_is_not_the_end(
    desk: SnapshotDesk, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = iter([RuntimeError("a bug"), None])

    async def refresh() -> None:
        failure = next(rounds, None)
        if failure is not None:
            raise failure

    monkeypatch.setattr(desk, "refresh", refresh)
    with caplog.at_level(logging.ERROR):
        async with desk.running():
            await asyncio.sleep(0)
            await clock.advance(1.0)
    assert "snapshot not made" in caplog.text
    assert next(rounds, "exhausted") == "exhausted"


# --- replicas


class Turn:
    """A leadership as tests say it is."""

    epoch: int | None = 1
    is_seamless = True
    takeovers = 1

    def __init__(self, *, leads: bool) -> None:
        self.is_leading = leads

    def note_loss(self) -> None:
        """Nothing here publishes."""

    note_shown = note_loss

    async def begun(self) -> int:
        return 1


class Shared:
    """What replicas tell each other, in the process's memory."""

    def __init__(self) -> None:
        self.told: tuple[Sequence[Quote], datetime] | None = None
        self.is_read = False
        self.notes = 0

    async def keep(self, quotes: Sequence[Quote], asked_at: datetime) -> None:
        self.told = quotes, asked_at

    async def read(self) -> tuple[Sequence[Quote], datetime] | None:
        return self.told

    async def note_reader(self) -> None:
        self.notes += 1
        self.is_read = True

    async def has_reader(self) -> bool:
        return self.is_read


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def leader(market: FakeMarket, last_prices: LastPrices, clock: ManualClock, shared: Shared) -> SnapshotDesk:
    leading, signals = Turn(leads=True), NoSignals()
    return make_desk(market, last_prices, clock, signals=signals, quote_seconds=5.0, leadership=leading, shared=shared)


@pytest.fixture
def follower(last_prices: LastPrices, clock: ManualClock, market: FakeMarket, shared: Shared) -> SnapshotDesk:
    following, signals = Turn(leads=False), NoSignals()
    return make_desk(
        market, last_prices, clock, signals=signals, quote_seconds=5.0, leadership=following, shared=shared
    )


async def test_who_follows_shows_what_the_leader_was_answered(
    leader: SnapshotDesk, follower: SnapshotDesk, market: FakeMarket, clock: ManualClock
) -> None:
    await leader.refresh()
    market.quoted.clear()
    await follower.refresh()
    assert market.quoted == set()
    assert follower.current().nifty == leader.current().nifty
    assert follower.current().sectors == leader.current().sectors
    assert follower.asked_out_of_turn == 0
    assert follower.age_seconds == 0.0


async def test_newer_ticks_are_in_what_who_follows_shows(
    leader: SnapshotDesk, follower: SnapshotDesk, last_prices: LastPrices
) -> None:
    await leader.refresh()
    last_prices.record("sample", [Tick("INDEX:NIFTY50", 110.0, microseconds_of(NOON) + 1, 100.0)])
    await follower.refresh()
    nifty = follower.current().nifty
    assert nifty is not None
    assert nifty.price == 110.0


async def test_who_follows_asks_itself_when_nothing_of_the_leader_s_is_new_enough(
    leader: SnapshotDesk, follower: SnapshotDesk, market: FakeMarket, clock: ManualClock
) -> None:
    await leader.refresh()
    market.quoted.clear()
    await follower.read()  # what is read is at most as old as a takeover takes
    await clock.advance(5.0 + FOLLOW_SECONDS)
    await follower.refresh()
    assert (market.quoted, follower.asked_out_of_turn) == (set(), 0)
    await clock.advance(5.0)
    await follower.refresh()
    assert "INDEX:NIFTY50" in market.quoted
    assert follower.asked_out_of_turn == 1


async def test_what_follows_asks_at_most_as_often_as_who_leads(
    follower: SnapshotDesk, market: FakeMarket, clock: ManualClock, shared: Shared
) -> None:
    await follower.read()
    assert follower.asked_out_of_turn == 1
    for _ in range(10):
        await clock.advance(1.0)
        shared.told = None
        await follower.refresh()
    assert follower.asked_out_of_turn == 3


@pytest.mark.parametrize(("ahead", "is_taken"), [(59, True), (61, False)])
async def test_what_was_told_by_a_clock_far_ahead_is_not_taken(
    leader: SnapshotDesk, follower: SnapshotDesk, clock: ManualClock, shared: Shared, *, ahead: int, is_taken: bool
) -> None:
    await leader.refresh()
    assert shared.told is not None
    shared.told = shared.told[0], clock.now() + timedelta(seconds=ahead)
    await follower.refresh()
    assert (follower.asked_out_of_turn == 0) is is_taken


async def test_the_leader_asks_for_those_who_read_elsewhere(
    leader: SnapshotDesk, follower: SnapshotDesk, market: FakeMarket, clock: ManualClock, *, shared: Shared
) -> None:
    await leader.refresh()
    market.quoted.clear()
    await clock.advance(UNREAD_SECONDS)
    await leader.refresh()
    assert market.quoted == set()
    async with follower.running():
        await follower.read()
        await clock.advance(3.0)
        assert shared.notes == 1
        await clock.advance(TELL_SECONDS)
        assert shared.notes == 2
    market.quoted.clear()
    await leader.refresh()
    assert "INDEX:NIFTY50" in market.quoted


async def test_what_nobody_reads_is_not_asked_for_at_a_start_when_the_leader_was_answered_once(
    leader: SnapshotDesk, follower: SnapshotDesk, market: FakeMarket, clock: ManualClock
) -> None:
    await leader.refresh()
    market.quoted.clear()
    await clock.advance(600.0)
    await follower.refresh()
    assert (market.quoted, follower.asked_out_of_turn) == (set(), 0)


async def test_without_anything_shared_who_follows_asks_itself(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock
) -> None:
    leadership, signals = Turn(leads=False), NoSignals()
    desk = make_desk(market, last_prices, clock, signals=signals, quote_seconds=5.0, leadership=leadership)
    assert desk.age_seconds is None
    await desk.refresh()
    assert desk.current().nifty is not None
    assert desk.asked_out_of_turn == 1


async def test_where_sources_may_be_asked_at_will_nobody_follows(
    market: FakeMarket, last_prices: LastPrices, clock: ManualClock, shared: Shared
) -> None:
    desk = make_desk(market, last_prices, clock, signals=NoSignals(), leadership=Turn(leads=False), shared=shared)
    await desk.refresh()
    assert "INDEX:NIFTY50" in market.quoted
    assert (desk.asked_out_of_turn, shared.told) == (0, None)
