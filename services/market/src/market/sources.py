"""Opens the sources that operators chose: a made-up or replayed market, or brokers and vendors in an order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bourse.brokers.v1.quotes_pb2_grpc import BrokerQuoteServiceStub

from chassis.health import Check
from chassis.rpc_client import open_channel
from chassis.tasks import running
from market.domain.answer_desk import AnswerDesk
from market.domain.capabilities import Capability, Source
from market.domain.freshness import SessionFreshness, SimulatedFreshness
from market.domain.guards import no_witness
from market.domain.instruments import Instrument, InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.leadership import Alone
from market.domain.lives import Lives
from market.domain.pattern_statistics import configuration_key
from market.domain.polled_ticks import PolledTicks, pace_within
from market.domain.ports import CurrentSignals, FreshnessRule, SharedSnapshot
from market.domain.quote_sources import KEEP_SECONDS, QuotesOf, QuoteSources
from market.domain.quotes import Quote
from market.domain.reuse import VENDOR_SECONDS, Reuse
from market.domain.sessions import Venue
from market.domain.signal_book import NoSignals, SignalBook
from market.domain.snapshot_desk import UNREAD_SECONDS
from market.domain.source_order import in_order
from market.domain.ticks import microseconds_of, shard_of
from market.feed.arrivals import Arrivals
from market.feed.polled_feed import PolledFeed
from market.feed.publisher import TickPublisher
from market.feed.replay_control import ReplayControl
from market.feed.tick_feed import TickFeed
from market.feed.tick_listener import TickListener
from market.figures import note_call, telling_of_leadership, telling_of_vendors
from market.providers.brokers.source import REUSE_SECONDS, SOURCE_SECONDS, BrokerSource, covered_instruments
from market.providers.budgets.shared import Budgets
from market.providers.fmp.fetch import FmpApi, open_client
from market.providers.fmp.source import FmpSource
from market.providers.replay.parse import read_bars
from market.providers.replay.source import ReplaySource
from market.providers.sample.source import SampleSource
from market.providers.yahoo.fetch import open_yahoo
from market.providers.yahoo.source import YahooSource
from market.settings import BROKERS, Settings
from market.storage.pattern_statistics import PatternStatisticsStore
from market.storage.shared_answers import CachedAnswers
from market.storage.shared_snapshot import CachedSnapshot
from market.world import World

log = logging.getLogger(__name__)

# Of what callers wait, so that the answer, or why there is none, reaches them before.
PATIENCE_SHARE = 0.9
# Two calls to Zerodha every five seconds, of the five it allows, are the snapshot's; the others are for callers.
BROKER_SNAPSHOT_SECONDS = 5.0
SOURCE_WITH_TICKS = "zerodha"

SimulatedSource = SampleSource | ReplaySource
RealSource = BrokerSource | YahooSource | FmpSource


@dataclass(frozen=True, slots=True)
class Prices:
    """What the sources that were chosen bring.

    Attributes:
        directory: which instruments there are.
        quotes: where quotes come from.
        answers: where everything else comes from.
        histories: the sources of daily bars, the preferred one first.
        last_prices: what the ticks say.
        signals: what daily bars say.
        feed: the health check of the ticks; None where none are expected.
        is_feed_ours: whether this process has to publish the ticks.
        quote_seconds: how long the snapshot shows an answer before it asks again.
        shared_snapshot: what replicas tell each other of the snapshot; None where each asks as it likes, or cannot.
    """

    directory: InstrumentDirectory
    quotes: QuoteSources
    answers: AnswerDesk
    histories: Sequence[Source]
    last_prices: LastPrices
    signals: CurrentSignals
    feed: Check | None
    is_feed_ours: bool
    quote_seconds: float
    shared_snapshot: SharedSnapshot | None = None


@asynccontextmanager
async def open_prices(world: World) -> AsyncIterator[Prices]:
    """Open the sources that the settings name.

    Raises:
        ReplayFileUnreadable, ReplayFileInvalid: the file to replay cannot be used.
        KeyUnusable: the key of a vendor cannot be one.
        OrderInvalid: an order names a source that cannot answer that kind of question.
    """
    arrivals = Arrivals(world.clock)
    opened = _simulated_prices if world.settings.is_simulated else _real_prices
    async with opened(world, arrivals) as prices:
        try:
            with telling_of_leadership(world.leadership, arrivals):
                yield prices
        finally:
            await prices.answers.close()


# --- sample and replay: prices are made here, and their ticks published


@asynccontextmanager
async def _simulated_prices(world: World, arrivals: Arrivals) -> AsyncIterator[Prices]:
    source = await asyncio.to_thread(_open_simulated_source, world)
    last_prices = LastPrices(SimulatedFreshness())
    configuration = configuration_key(source.configuration)
    statistics = PatternStatisticsStore(world.database, source=source.name, configuration=configuration)
    async with _running_feed(source, last_prices, world, arrivals) as feed:
        yield Prices(
            directory=InstrumentDirectory(source.instruments()),
            quotes=QuoteSources([source], world.clock),
            answers=_answer_desk(world, [source]),
            histories=[source],
            last_prices=last_prices,
            signals=SignalBook(source, statistics, world.clock),
            feed=feed.is_well,
            is_feed_ours=True,
            quote_seconds=0.0,
        )


def _open_simulated_source(world: World) -> SimulatedSource:
    """Open the source; blocks for some tenths of a second."""
    settings, clock, listing = world.settings, world.clock, world.tables.listing
    if settings.replay_path is None or "replay" not in settings.market_providers:
        return SampleSource(
            listing,
            world.calendar,
            clock,
            seed=settings.sample_seed,
            tick_seconds=settings.sample_tick_seconds,
            is_always_open=settings.sample_always_open,
        )
    known = {each.instrument.id: each.instrument for each in listing}
    bars = read_bars(settings.replay_path)
    return ReplaySource(bars, known, clock, speed=settings.replay_speed, is_held=settings.replay_hold)


@asynccontextmanager
async def _running_feed(
    source: SimulatedSource, last_prices: LastPrices, world: World, arrivals: Arrivals
) -> AsyncIterator[TickFeed]:
    publisher_id = world.settings.market_publisher_id
    publisher = TickPublisher(
        world.bus,
        world.clock,
        leadership=world.leadership,
        arrivals=arrivals,
        publisher_id=publisher_id,
        source=source.name,
        freshness=source.freshness,
        only_of={shard_of(each.id) for each in source.instruments()},
    )
    control = None if isinstance(source, SampleSource) else await _replay_control(source, world)
    async with TickFeed(source, publisher, last_prices, world.leadership).running() as feed:
        if control is None:
            yield feed
            return
        async with running(control.announce_end(feed)):
            yield feed


async def _replay_control(source: ReplaySource, world: World) -> ReplayControl:
    run = f"{world.settings.market_publisher_id}:{microseconds_of(world.clock.now())}"
    control = ReplayControl(source, world.bus, world.clock, run=run)
    await control.listen()
    if not isinstance(world.leadership, Alone):
        await control.follow(source.name, world.leadership)
    return control


# --- zerodha, icici, yahoo and fmp: asked in their order; brokers publishes Zerodha's ticks; vendors are polled


@asynccontextmanager
async def _real_prices(world: World, arrivals: Arrivals) -> AsyncIterator[Prices]:
    settings, clock = world.settings, world.clock
    instruments = _instruments_of(world)
    rule = SessionFreshness(world.calendar, clock)
    last_prices = LastPrices(rule)
    async with AsyncExitStack() as stack:
        sources = [source async for source in _opened_sources(world, instruments, rule, stack)]
        answers = _answer_desk(world, sources)
        stack.enter_context(telling_of_vendors(answers.guards))
        listener = await _listening(world, instruments, last_prices, arrivals)
        quotes = _quote_sources(world, sources, instruments, answers=answers, rule=rule, last_prices=last_prices)
        poller = _polled_feed(world, sources, instruments, quotes=quotes, arrivals=arrivals)
        if poller is not None:
            await stack.enter_async_context(poller.running())
        yield Prices(
            directory=InstrumentDirectory(instruments),
            quotes=quotes,
            answers=answers,
            histories=in_order(Capability.DAILY_HISTORY, sources, settings.source_order),
            last_prices=last_prices,
            signals=NoSignals(),
            feed=_all_well([each.is_well for each in (listener, poller) if each is not None]),
            is_feed_ours=False,
            quote_seconds=BROKER_SNAPSHOT_SECONDS,
            shared_snapshot=_shared_snapshot(world),
        )


def _instruments_of(world: World) -> Sequence[Instrument]:
    known = [each.instrument for each in world.tables.listing]
    only_brokers = set(world.settings.market_providers) <= set(BROKERS)
    return covered_instruments(known) if only_brokers else known


async def _opened_sources(
    world: World, instruments: Sequence[Instrument], rule: FreshnessRule, stack: AsyncExitStack
) -> AsyncIterator[RealSource]:
    settings, clock = world.settings, world.clock
    budgets = await stack.enter_async_context(Budgets.open(settings.redis_url))
    # Nothing is retried: a refusal comes from a broker whose calls are counted, and the circuit breaker asks again.
    channel = await stack.enter_async_context(open_channel(settings.brokers_address, [], settings=settings))
    for name in settings.market_providers:
        if name in BROKERS:
            stub = BrokerQuoteServiceStub(channel)
            yield BrokerSource(name, covered_instruments(instruments), stub=stub, rule=rule)
        elif name == YahooSource.name:
            budget = budgets.of(name, settings.yahoo_windows)
            client = await stack.enter_async_context(open_yahoo(settings.run_dir / "yahoo", budget, clock))
            yield YahooSource(instruments, client, rule=rule, clock=clock)
        else:
            api = FmpApi(
                await stack.enter_async_context(open_client()),
                key=settings.fmp_api_key,
                budget=budgets.of(name, settings.fmp_windows),
                base_url=settings.fmp_base_url,
            )
            yield FmpSource(instruments, api=api, rule=rule, calendar=world.calendar, clock=clock)


async def _listening(
    world: World, instruments: Sequence[Instrument], last_prices: LastPrices, arrivals: Arrivals
) -> TickListener | None:
    """Hear the ticks that brokers publishes; nobody is listened to where there is no source with ticks."""
    settings = world.settings
    if not settings.broker_names:
        return None
    listener = TickListener(
        last_prices,
        world.clock,
        sources=settings.broker_names,
        instruments=[each.id for each in covered_instruments(instruments)],
        sessions=world.calendar.sessions_of(Venue.INDIA),
        arrivals=arrivals,
    )
    await listener.listen(world.bus)
    return listener if SOURCE_WITH_TICKS in settings.broker_names else None


def _polled_feed(
    world: World,
    sources: Sequence[RealSource],
    instruments: Sequence[Instrument],
    *,
    quotes: QuoteSources,
    arrivals: Arrivals,
) -> PolledFeed | None:
    """Make ticks of vendors' quotes, but for what Zerodha's ticker has."""
    settings = world.settings
    asked = in_order(Capability.QUOTES, sources, settings.source_order)
    vendors = [each.name for each in asked if not isinstance(each, BrokerSource)]
    if not vendors or not settings.market_poll_seconds:
        return None
    ticking = covered_instruments(instruments) if SOURCE_WITH_TICKS in settings.broker_names else ()
    with_ticks = {each.id for each in ticking}
    ticks = PolledTicks(
        [each for each in instruments if each.id not in with_ticks],
        quotes,
        calendar=world.calendar,
        clock=world.clock,
    )
    return PolledFeed(
        ticks,
        world.bus,
        world.clock,
        leadership=world.leadership,
        arrivals=arrivals,
        publisher_id=settings.market_publisher_id,
        pace_seconds=_pace_seconds(settings, vendors, ticks.calls_a_round),
    )


def _pace_seconds(settings: Settings, vendors: Sequence[str], calls: int) -> float:
    """Return how long after a round the next one begins."""
    budgets = {YahooSource.name: settings.yahoo_windows, FmpSource.name: settings.fmp_windows}
    windows = [window for name in vendors for window in budgets[name]]
    seconds = pace_within(settings.market_poll_seconds, calls, windows)
    if seconds > settings.market_poll_seconds:
        log.warning("budget slows polls", extra={"pace_seconds": round(seconds), "sources": list(vendors)})
    return seconds


def _all_well(checks: Sequence[Check]) -> Check | None:
    """Return one check of several; None when there is none."""

    async def are_well() -> bool:
        return all(await asyncio.gather(*(check() for check in checks)))

    return are_well if checks else None


def _quote_sources(
    world: World,
    sources: Sequence[RealSource],
    instruments: Sequence[Instrument],
    *,
    answers: AnswerDesk,
    rule: FreshnessRule,
    last_prices: LastPrices,
) -> QuoteSources:
    asked = in_order(Capability.QUOTES, sources, world.settings.source_order)
    shared = _shared_answers(world)
    vendors = {each.name: VENDOR_SECONDS for each in asked if not isinstance(each, BrokerSource)}
    return QuoteSources(
        [
            each if isinstance(each, BrokerSource) else QuotesOf(each, instruments, answers_in_bulk=True)
            for each in asked
        ],
        world.clock,
        # All of them together answer within the time that callers give a call.
        timeout_seconds=min(SOURCE_SECONDS, _patience_seconds(world.settings) / len(asked)),
        reuse=Reuse(
            REUSE_SECONDS | vendors, last_prices=last_prices, rule=rule, clock=world.clock, calendar=world.calendar
        ),
        guards=answers.guards,
        shared=None if shared is None else shared.shelf(Capability.QUOTES.value, Quote),
    )


# --- both


def _answer_desk(world: World, sources: Sequence[Source]) -> AnswerDesk:
    return AnswerDesk(
        sources,
        world.clock,
        order=world.settings.source_order,
        lives=Lives(world.calendar, world.clock),
        shared=_shared_answers(world),
        patience_seconds=_patience_seconds(world.settings),
        witness=no_witness if world.settings.is_simulated else note_call,
    )


def _shared_answers(world: World) -> CachedAnswers | None:
    return None if world.settings.redis_url is None else CachedAnswers(world.cache)


def _shared_snapshot(world: World) -> CachedSnapshot | None:
    if world.settings.redis_url is None:
        return None
    return CachedSnapshot(world.cache, keep_seconds=KEEP_SECONDS, reader_seconds=UNREAD_SECONDS)


def _patience_seconds(settings: Settings) -> float:
    return settings.rpc_deadline_seconds * PATIENCE_SHARE
