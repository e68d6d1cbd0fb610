from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from portfolio.domain.brokers import Broker
from portfolio.domain.snapshots import Snapshot
from portfolio.domain.value_series import (
    FULL_ENOUGH_DAYS,
    Gap,
    HeldUnits,
    MissingSeries,
    PastAnswer,
    PastCloses,
    ValueSeries,
    series_of_holdings,
    series_of_snapshots,
)

FIRST = date(2026, 1, 1)
NOON = datetime(2026, 1, 1, 6, tzinfo=UTC)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def snapshot(number: int, value: int, broker: Broker = Broker.ZERODHA, *, is_simulated: bool = False) -> Snapshot:
    return Snapshot(
        user_id="7",
        broker=broker,
        date=day(number),
        invested=Decimal(1),
        current_value=Decimal(value),
        pnl=Decimal(0),
        positions_pnl=Decimal(0),
        taken_at=NOON,
        is_simulated=is_simulated,
        is_nightly=True,
        unpriced_count=0,
    )


def held(instrument: str, quantity: int = 1, value: int = 100, currency: str = "INR") -> HeldUnits:
    return HeldUnits(instrument, currency, Decimal(quantity), Decimal(value))


def closes(*prices: int, begins: int = 0, is_simulated: bool = False) -> PastCloses:
    return PastCloses([(day(begins + number), Decimal(price)) for number, price in enumerate(prices)], is_simulated)


def values(series: ValueSeries) -> Sequence[tuple[int, int]]:
    return [((on - FIRST).days, int(value)) for on, value in series.points]


def test_a_broker_without_a_snapshot_of_a_day_keeps_its_last() -> None:
    icici = [snapshot(1, 100, Broker.ICICI), snapshot(3, 130, Broker.ICICI)]
    (series,), missing = series_of_snapshots([snapshot(0, 10), *icici, snapshot(2, 12)], currency="INR")
    assert values(series) == [(0, 10), (1, 110), (2, 112), (3, 142)]
    assert (series.currency, series.is_synced, series.is_simulated, missing) == ("INR", True, False, [])


def test_simulated_snapshots_make_a_line_of_their_own() -> None:
    simulated = [snapshot(number, 1, is_simulated=True) for number in (4, 5)]
    series, _ = series_of_snapshots([snapshot(0, 10), snapshot(1, 11), *simulated], currency="INR")
    assert [(each.is_simulated, values(each)) for each in series] == [
        (False, [(0, 10), (1, 11)]),
        (True, [(4, 1), (5, 1)]),
    ]


def test_one_day_is_no_line_and_no_day_is_nothing_missing() -> None:
    gone = [MissingSeries("INR", is_synced=True, gap=Gap.NO_PAST)]
    assert series_of_snapshots([snapshot(0, 10)], currency="INR") == ([], gone)
    assert series_of_snapshots([], currency="INR") == ([], [])


def test_todays_units_are_valued_at_past_closes_once_all_have_begun() -> None:
    past = PastAnswer({"NSE:A": closes(1, 2, 3, 4), "NSE:B": closes(10, 20, begins=1)})
    (series,), missing = series_of_holdings([held("NSE:A", 2), held("NSE:B", 3)], past, first=FIRST)
    assert values(series) == [(1, 4 + 30), (2, 6 + 60), (3, 8 + 60)]
    assert (series.is_synced, series.left_out_count, missing) == (False, 0, [])


def test_currencies_and_simulated_pasts_have_lines_of_their_own() -> None:
    past = PastAnswer(
        {
            "NSE:A": closes(1, 2),
            "NASDAQ:B": closes(3, 4),
            "NASDAQ:C": closes(5, 6, is_simulated=True),
        }
    )
    mine = [held("NASDAQ:B", currency="USD"), held("NSE:A"), held("NASDAQ:C", currency="USD")]
    series, _ = series_of_holdings(mine, past, first=FIRST)
    assert [(each.currency, each.is_simulated, values(each)) for each in series] == [
        ("USD", False, [(0, 3), (1, 4)]),
        ("USD", True, [(0, 5), (1, 6)]),
        ("INR", False, [(0, 1), (1, 2)]),
    ]


def test_what_is_new_or_without_a_past_is_left_out_and_counted_while_it_is_little() -> None:
    past = PastAnswer(
        {
            "NSE:A": closes(1, 2),
            "NSE:NEW": closes(1, 2, begins=FULL_ENOUGH_DAYS + 1),
            "NSE:EMPTY": closes(),
        }
    )
    mine = [held("NSE:A", value=80), held("NSE:NEW", value=5), held("NSE:EMPTY", value=5), held("NSE:NONE", value=10)]
    (series,), missing = series_of_holdings(mine, past, first=FIRST)
    assert (values(series), series.left_out_count, missing) == ([(0, 1), (1, 2)], 3, [])


def test_too_little_of_the_value_is_no_line_and_why_is_said() -> None:
    mine = [held("NSE:A", value=79), held("NSE:B", value=21), held("NASDAQ:C", currency="USD")]
    silent = PastAnswer({"NSE:A": closes(1, 2)}, frozenset({"NSE:B"}))
    series, missing = series_of_holdings(mine, silent, first=FIRST)
    assert (series, missing) == (
        [],
        [MissingSeries("INR", False, Gap.NO_ANSWER), MissingSeries("USD", False, Gap.NO_PAST)],
    )


def test_one_close_is_no_line() -> None:
    series, missing = series_of_holdings([held("NSE:A")], PastAnswer({"NSE:A": closes(1)}), first=FIRST)
    assert (series, missing) == ([], [MissingSeries("INR", False, Gap.NO_PAST)])
    assert series_of_holdings([], PastAnswer(), first=FIRST) == ([], [])
