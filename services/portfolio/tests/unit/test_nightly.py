import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from portfolio.domain.brokers import Broker
from portfolio.domain.market import Market, MarketUnavailable, RememberedQuotes, RememberedSplits
from portfolio.domain.nightly import NightlySnapshots
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows
from portfolio.domain.sessions import KnownSessions, Session
from portfolio.domain.snapshots import Snapshot
from portfolio.domain.splits import Split

# A Friday: NSE trades from 03:45 to 10:00 UTC, and not again until Monday.
OPENS = datetime(2026, 3, 13, 3, 45, tzinfo=UTC)
CLOSES = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
FRIDAY = date(2026, 3, 13)
MONDAY_OPENS = OPENS + timedelta(days=3)
DELAY_SECONDS = 1_800.0
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SESSIONS = [Session(each.date(), each, each + (CLOSES - OPENS)) for each in (OPENS, MONDAY_OPENS)]


class World:
    """Rows, snapshots and a market, and what fails of them."""

    def __init__(self) -> None:
        self.rows: dict[str, list[SyncedRows]] = {}
        self.saved: dict[tuple[str, Broker, date], Snapshot] = {}
        self.quotes: dict[str, Quote] = {}
        self.known_through = date(2026, 12, 31)
        self.calendar_is_down = self.quotes_are_down = self.database_is_down = False
        self.rows_are_down = False
        self.broken_users: set[str] = set()
        self.is_resynced_meanwhile = False
        self.passes = 0

    def sync(
        self,
        user_id: str = "7",
        *rows: BrokerHolding | BrokerPosition,
        at: datetime = OPENS + 60 * MINUTE,
        broker: Broker = Broker.ZERODHA,
        is_simulated: bool = False,
    ) -> None:
        sync = Sync(f"{user_id}-{at}", user_id, broker, at, at, is_simulated)
        holdings = tuple(row for row in rows if isinstance(row, BrokerHolding))
        positions = tuple(row for row in rows if isinstance(row, BrokerPosition))
        self.rows.setdefault(user_id, []).append(SyncedRows(sync, holdings, positions))

    def price(self, symbol: str, price: int, *, at: datetime = CLOSES, freshness: Freshness = Freshness.CLOSED) -> None:
        self.quotes[f"NSE:{symbol}"] = Quote(Decimal(price), None, Provenance("zerodha", at, freshness))

    async def users_without(self, day: date, *, after: str, at_most: int) -> Sequence[str]:
        self.passes += after == ""
        if self.database_is_down:
            raise DatabaseUnavailable
        waiting = {
            user_id
            for user_id, brokers in self.rows.items()
            for rows in brokers
            if rows.sync.date <= day and (user_id, rows.sync.broker, day) not in self.saved and user_id > after
        }
        return sorted(waiting)[: min(at_most, 2)]

    async def brokers_with(self, day: date, user_id: str) -> Collection[Broker]:
        return {broker for user, broker, on in self.saved if (user, on) == (user_id, day)}

    async def save_nightly(self, snapshot: Snapshot, *, sync_id: str) -> bool:
        if self.is_resynced_meanwhile:
            return False
        assert sync_id in {rows.sync.id for rows in self.rows[snapshot.user_id]}
        self.saved[snapshot.user_id, snapshot.broker, snapshot.date] = snapshot
        return True

    async def rows_of(self, user_id: str) -> Sequence[SyncedRows]:
        if self.rows_are_down:
            raise DatabaseUnavailable
        if user_id in self.broken_users:
            raise ZeroDivisionError
        return self.rows[user_id]

    async def latest(self, instruments: Collection[str]) -> QuoteAnswer:
        if self.quotes_are_down:
            raise MarketUnavailable
        return QuoteAnswer({each: self.quotes[each] for each in instruments if each in self.quotes}, frozenset())

    async def since(self, instruments: Collection[str], first: date) -> Mapping[str, Sequence[Split]]:
        return {each: [] for each in instruments}

    async def sessions(self, first: date, last: date) -> KnownSessions:
        if self.calendar_is_down:
            raise MarketUnavailable
        return KnownSessions([each for each in SESSIONS if first <= each.date <= last], first, self.known_through)


def held(symbol: str = "TCS", *, exchange: str = "NSE") -> BrokerHolding:
    price = Decimal(100)
    return BrokerHolding(exchange, symbol, Decimal(10), Decimal(0), average_price=price, last_price=price)


@pytest.fixture
def world() -> World:
    return World()


def job(world: World, clock: ManualClock) -> NightlySnapshots:
    market = Market(RememberedQuotes(world, clock), RememberedSplits(world, clock))
    return NightlySnapshots(
        world,  # type: ignore[arg-type]  # it reads all rows, and nothing else
        world,
        market=market,
        sessions=world,
        clock=clock,
        delay_seconds=DELAY_SECONDS,
        random=lambda: 0.0,
    )


async def take(world: World, at: datetime) -> float:
    return await job(world, ManualClock(at)).take_due()


DUE = CLOSES + timedelta(seconds=DELAY_SECONDS)


async def test_a_synced_user_is_kept_at_the_sessions_prices(world: World) -> None:
    net = BrokerPosition(
        PositionType.NET,
        "NFO",
        "NIFTY26MARFUT",
        Decimal(1),
        Decimal(1),
        average_price=Decimal(5),
        last_price=Decimal(8),
    )
    world.sync("7", held("TCS"), held("UNKNOWN"), net)
    world.price("TCS", 120)
    assert await take(world, DUE) == 3_600.0
    (snapshot,) = world.saved.values()
    assert [snapshot.current_value, snapshot.pnl, snapshot.positions_pnl] == [2_200, 200, 3]
    assert (snapshot.date, snapshot.taken_at, snapshot.is_nightly) == (FRIDAY, DUE, True)
    assert (snapshot.unpriced_count, snapshot.is_simulated) == (2, False)


def traded(symbol: str, quantity: int = 0, *, exchange: str = "NSE", expiry: date | None = None) -> BrokerPosition:
    """Return a net position that has made 1,000 besides what is open of it."""
    return BrokerPosition(
        PositionType.NET,
        exchange,
        symbol,
        Decimal(quantity),
        Decimal(1),
        last_price=Decimal(8),
        buy_value=Decimal(1_000),
        sell_value=Decimal(2_000),
        expiry=expiry,
    )


@pytest.mark.parametrize(("synced_at", "positions_pnl"), [(OPENS + MINUTE, 1_000), (OPENS - DAY, 0)])
async def test_what_was_closed_on_an_earlier_day_is_not_won_again(
    world: World, synced_at: datetime, positions_pnl: int
) -> None:
    world.sync("7", held("TCS"), traded("INFY"), at=synced_at)
    world.price("TCS", 120)
    await take(world, DUE)
    assert [snapshot.positions_pnl for snapshot in world.saved.values()] == [positions_pnl]


@pytest.mark.parametrize(("expiry", "positions_pnl"), [(FRIDAY, 1_008), (FRIDAY - DAY, 0)])
async def test_what_has_expired_is_not_held_any_more(world: World, expiry: date, positions_pnl: int) -> None:
    world.sync("7", held("TCS"), traded("NIFTY26MARFUT", 1, exchange="NFO", expiry=expiry), at=OPENS - DAY)
    world.price("TCS", 120)
    await take(world, DUE)
    assert [snapshot.positions_pnl for snapshot in world.saved.values()] == [positions_pnl]


async def test_a_closed_position_needs_no_price(world: World) -> None:
    world.sync("7", held("TCS"), traded("INFY"))
    world.price("TCS", 120)
    world.price("INFY", 5, freshness=Freshness.STALE)
    await take(world, DUE)
    assert [snapshot.positions_pnl for snapshot in world.saved.values()] == [1_000]


@pytest.mark.parametrize(
    ("at", "wait_seconds"),
    [
        (OPENS - 10 * MINUTE, 3_600.0),
        (CLOSES - 10 * MINUTE, 2_400.0),
        (CLOSES, 1_800.0),
        (DUE - MINUTE, 60.0),
        (MONDAY_OPENS, 3_600.0),
    ],
)
async def test_before_it_is_due_and_once_the_next_session_is_open_nothing_is_taken(
    world: World, at: datetime, wait_seconds: float
) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    assert await take(world, at) == wait_seconds
    assert world.passes == 0


@pytest.mark.parametrize("at", [DUE, DUE + DAY, MONDAY_OPENS - MINUTE])
async def test_until_the_next_open_it_is_not_too_late(world: World, at: datetime) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    await take(world, at)
    assert [day for _, _, day in world.saved] == [FRIDAY]


async def test_beyond_the_calendar_nothing_is_guessed(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    world.known_through = FRIDAY - DAY
    await take(world, DUE)
    assert world.saved == {}
    world.known_through = FRIDAY
    await take(world, DUE)
    assert len(world.saved) == 1


async def test_a_user_who_synced_after_the_day_is_not_put_into_it(world: World) -> None:
    world.sync("7", held(), at=DUE + DAY)
    world.sync("7", held(), at=OPENS, broker=Broker.ICICI)
    world.price("TCS", 120)
    await take(world, DUE + DAY + MINUTE)
    assert [broker for _, broker, _ in world.saved] == [Broker.ICICI]


@pytest.mark.parametrize(
    ("at", "freshness"),
    [
        (OPENS - DAY, Freshness.CLOSED),
        (OPENS - MINUTE, Freshness.LIVE),
        (CLOSES, Freshness.STALE),
        (CLOSES, Freshness.SIMULATED),
    ],
)
async def test_prices_that_are_not_the_sessions_make_no_snapshot(
    world: World, at: datetime, freshness: Freshness
) -> None:
    world.sync("7", held("TCS"), held("INFY"))
    world.price("TCS", 120, at=at, freshness=freshness)
    world.price("INFY", 120)
    assert await take(world, DUE) == 300.0
    assert world.saved == {}


async def test_a_price_of_the_next_days_opening_auction_is_not_the_sessions(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 60, at=MONDAY_OPENS - 8 * MINUTE)
    await take(world, MONDAY_OPENS - 5 * MINUTE)
    assert world.saved == {}


async def test_rows_that_market_knows_nothing_of_make_no_snapshot_alone(world: World) -> None:
    world.sync("7", held("UNKNOWN"), held("GOLD", exchange="MCX"))
    await take(world, DUE)
    assert world.saved == {}


async def test_a_simulated_portfolio_is_kept_as_simulated(world: World) -> None:
    world.sync("7", held(), is_simulated=True)
    world.price("TCS", 120, at=DUE, freshness=Freshness.SIMULATED)
    await take(world, DUE)
    assert [snapshot.is_simulated for snapshot in world.saved.values()] == [True]


async def test_what_could_not_be_taken_is_tried_again_less_and_less_often(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    world.quotes_are_down = True
    clock = ManualClock(DUE)
    nightly = job(world, clock)
    waits = []
    for _ in range(6):
        waits.append(await nightly.take_due())
        await clock.advance(10)
    assert waits == [300.0, 600.0, 1_200.0, 2_400.0, 3_600.0, 3_600.0]
    world.quotes_are_down = False
    await nightly.take_due()
    assert len(world.saved) == 1


async def test_one_user_that_fails_keeps_nobody_else_from_a_snapshot(world: World) -> None:
    for user_id in ("1", "2", "3", "4", "5"):
        world.sync(user_id, held())
    world.price("TCS", 120)
    world.broken_users = {"2"}
    nightly = job(world, ManualClock(DUE))
    assert await nightly.take_due() == 300.0
    assert sorted(user_id for user_id, _, _ in world.saved) == ["1", "3", "4", "5"]
    assert (nightly.taken, nightly.missing) == (4, 1)
    world.broken_users.clear()
    await nightly.take_due()
    assert (nightly.taken, nightly.missing) == (5, 0)


async def test_a_database_that_goes_away_ends_the_pass(world: World) -> None:
    world.sync("7", held())
    world.rows_are_down = True
    with pytest.raises(DatabaseUnavailable):
        await take(world, DUE)


async def test_when_nobody_synced_nothing_is_taken(world: World) -> None:
    assert await take(world, DUE) == 3_600.0
    assert (world.passes, world.saved) == (1, {})


async def test_rows_replaced_meanwhile_are_tried_again(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    world.is_resynced_meanwhile = True
    assert await take(world, DUE) == 300.0


async def test_a_restart_completes_what_is_missing_and_leaves_what_is_there(world: World) -> None:
    for user_id in ("1", "2"):
        world.sync(user_id, held())
    world.price("TCS", 120)
    await take(world, DUE)
    first = world.saved["1", Broker.ZERODHA, FRIDAY]
    del world.saved["2", Broker.ZERODHA, FRIDAY]
    await take(world, DUE + 60 * MINUTE)
    assert world.saved["1", Broker.ZERODHA, FRIDAY] == first
    assert world.saved["2", Broker.ZERODHA, FRIDAY].taken_at == DUE + 60 * MINUTE


async def test_two_replicas_at_once_write_the_same(world: World) -> None:
    for number in range(9):
        world.sync(str(number), held())
    world.price("TCS", 120)
    await asyncio.gather(take(world, DUE), take(world, DUE))
    assert len({replace(each, user_id="") for each in world.saved.values()}) == 1
    assert len(world.saved) == 9


async def settled(clock: ManualClock, seconds: float) -> None:
    """Advance and let what wakes do all it can without further waiting."""
    await clock.advance(seconds)
    for _ in range(50):
        await asyncio.sleep(0)


async def test_it_runs_by_itself_and_survives_whatever_is_away(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    world.calendar_is_down = True
    clock = ManualClock(DUE - 2 * MINUTE)
    running = asyncio.create_task(job(world, clock).run())
    await settled(clock, 0)
    world.calendar_is_down, world.database_is_down = False, True
    await settled(clock, 300)
    assert world.passes == 1
    world.database_is_down, world.known_through = False, None  # type: ignore[assignment]  # what nobody foresaw
    await settled(clock, 600)
    assert world.saved == {}
    world.known_through = date(2026, 12, 31)
    await settled(clock, 1_200)
    running.cancel()
    assert [day for _, _, day in world.saved] == [FRIDAY]


async def test_a_pass_that_lasts_into_the_next_session_stops(world: World) -> None:
    world.sync("7", held())
    world.price("TCS", 120)
    clock = ManualClock(MONDAY_OPENS - MINUTE)
    nightly = job(world, clock)

    class SlowSessions:
        async def sessions(self, first: date, last: date) -> KnownSessions:
            known = await world.sessions(first, last)
            await clock.advance(60)
            return known

    nightly._sessions = SlowSessions()
    await nightly.take_due()
    assert (world.passes, world.saved) == (1, {})
