from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.domain.ticks import Tick
from brokers.feed.kite_ticks import TickMaker, microseconds_of

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
SECONDS = int(NOON.timestamp())
TOKENS = {"NSE:TCS": 2_953_217, "INDEX:NIFTY50": 256_265}


def maker() -> TickMaker:
    return TickMaker(TOKENS)


def test_a_price_becomes_a_tick_of_the_exchanges_second() -> None:
    (tick,) = maker().ticks([(2_953_217, 3842.5, 3800.0, 12_000, SECONDS - 5)], NOON)
    assert tick == Tick("NSE:TCS", 3842.5, (SECONDS - 5) * 1_000_000, 3800.0, 12_000)


@pytest.mark.parametrize("unnamed", [None, 0])
def test_without_the_exchanges_time_a_price_is_of_its_receipt(unnamed: int | None) -> None:
    (tick,) = maker().ticks([(256_265, 24_000.0, None, None, unnamed)], NOON)
    assert tick == Tick("INDEX:NIFTY50", 24_000.0, microseconds_of(NOON), None, None)


def test_a_price_is_never_of_the_future() -> None:
    (tick,) = maker().ticks([(2_953_217, 3842.5, None, None, SECONDS + 90)], NOON)
    assert tick.at_microseconds == microseconds_of(NOON)


def test_a_close_of_zero_is_unknown() -> None:
    (tick,) = maker().ticks([(2_953_217, 3842.5, 0.0, 0, None)], NOON)
    assert tick.previous_close is None
    assert tick.volume == 0


@pytest.mark.parametrize("price", [0.0, -1.0])
def test_a_price_that_is_not_above_zero_is_skipped(price: float) -> None:
    prices = [(2_953_217, price, 3800.0, 1, SECONDS), (256_265, 24_000.0, None, None, SECONDS)]
    assert [tick.instrument for tick in maker().ticks(prices, NOON)] == ["INDEX:NIFTY50"]


def test_a_token_that_nobody_asked_for_is_skipped() -> None:
    assert maker().ticks([(1, 5.0, None, None, None)], NOON) == []


@given(st.lists(st.tuples(st.sampled_from(sorted(TOKENS.values())), st.integers(-90, 90) | st.none()), max_size=20))
def test_the_ticks_of_an_instrument_keep_their_order_and_never_go_back_in_time(
    arrivals: list[tuple[int, int | None]],
) -> None:
    made = maker()
    ticks = []
    for place, (token, seconds) in enumerate(arrivals):
        exchange_seconds = None if seconds is None else SECONDS + seconds
        ticks += made.ticks(
            [(token, 1.0 + place, None, None, exchange_seconds)], NOON + timedelta(milliseconds=300 * place)
        )
    assert [tick.last_price for tick in ticks] == [1.0 + place for place in range(len(arrivals))]
    for instrument in TOKENS:
        own = [tick.at_microseconds for tick in ticks if tick.instrument == instrument]
        assert all(before <= after for before, after in pairwise(own))
