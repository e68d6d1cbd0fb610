from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from portfolio.domain.brokers import Broker
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows
from portfolio.domain.snapshots import Snapshot, snapshot_at_sync, trend_of

# 00:30 of the next day in India.
SYNCED = datetime(2026, 3, 11, 19, 0, tzinfo=UTC)


async def test_a_syncs_snapshot_is_of_its_day_in_india_at_the_brokers_prices() -> None:
    sync = Sync("id", "7", Broker.ICICI, SYNCED, SYNCED, True)
    cost, price = Decimal(100), Decimal(110)
    net, day = (
        BrokerPosition(kind, "NSE", "INFY", Decimal(1), Decimal(1), average_price=cost, last_price=price)
        for kind in (PositionType.NET, PositionType.DAY)
    )
    held = BrokerHolding("NSE", "TCS", Decimal(10), Decimal(0), average_price=cost, last_price=price)
    costless = BrokerHolding("NSE", "ITC", Decimal(10), Decimal(0), last_price=price)
    snapshot = await snapshot_at_sync(SyncedRows(sync, (held, costless), (net, day)))
    assert snapshot == Snapshot(
        user_id="7",
        broker=Broker.ICICI,
        date=date(2026, 3, 12),
        invested=Decimal(1000),
        current_value=Decimal(1100),
        pnl=Decimal(100),
        positions_pnl=Decimal(10),
        taken_at=SYNCED,
        is_simulated=True,
        is_nightly=False,
        unpriced_count=3,
    )


async def test_a_portfolio_of_thousands_of_rows_is_valued_like_any_other() -> None:
    sync = Sync("id", "7", Broker.ICICI, SYNCED, SYNCED, False)
    held = BrokerHolding("NSE", "TCS", Decimal(1), Decimal(0), average_price=Decimal(1), last_price=Decimal(3))
    assert (await snapshot_at_sync(SyncedRows(sync, (held,) * 5_000, ()))).pnl == 10_000


SNAPSHOTS = st.builds(
    Snapshot,
    user_id=st.just("7"),
    broker=st.sampled_from(Broker),
    date=st.dates(date(2026, 1, 1), date(2026, 1, 5)),
    invested=st.decimals(0, 10**9, places=2),
    current_value=st.decimals(0, 10**9, places=2),
    pnl=st.decimals(-(10**9), 10**9, places=2),
    positions_pnl=st.decimals(-(10**9), 10**9, places=2),
    taken_at=st.just(SYNCED),
    is_simulated=st.booleans(),
    is_nightly=st.booleans(),
    unpriced_count=st.just(0),
)


@given(st.lists(SNAPSHOTS, unique_by=lambda each: (each.date, each.broker)))
def test_a_trend_has_exactly_the_days_of_its_snapshots_and_loses_no_paisa(snapshots: list[Snapshot]) -> None:
    trend = trend_of(snapshots)
    assert [point.date for point in trend] == sorted({snapshot.date for snapshot in snapshots})
    assert sum(point.pnl for point in trend) == sum(snapshot.pnl for snapshot in snapshots)
    assert sum(point.invested for point in trend) == sum(snapshot.invested for snapshot in snapshots)
    assert sum(len(point.brokers) for point in trend) == len(snapshots)
    assert trend_of(snapshots[::-1]) == trend
    for point in trend:
        of_day = [snapshot for snapshot in snapshots if snapshot.date == point.date]
        assert point.is_simulated == any(snapshot.is_simulated for snapshot in of_day)
