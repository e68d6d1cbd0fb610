import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import MAX_RANGES, Closest, Tape
from alerts.domain.ticks import TickBatch

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
BUY, SELL = AlertType.BUY, AlertType.SELL


def make_batch(sequence: int, *prices: float, instruments: Sequence[str] = ()) -> TickBatch:
    return TickBatch(
        position=Position(1, sequence),
        publisher_id="feed",
        epoch=7,
        shard=3,
        sequence=sequence,
        source="sample",
        freshness=Freshness.SIMULATED,
        base_at=START + timedelta(seconds=sequence),
        instruments=instruments or ["NSE:TCS"] * len(prices),
        prices=prices,
        offsets_microseconds=list(range(len(prices))),
    )


def price_of(closest: Closest) -> float | None:
    return None if closest.tick is None else closest.tick.price


@pytest.fixture
def tape() -> Tape:
    tape = Tape()
    tape.begin("NSE:TCS", NOWHERE)
    return tape


def test_the_tick_before_one_is_the_last_of_its_instrument(tape: Tape) -> None:
    assert tape.before(make_batch(1, 100.0), 0) is None
    assert tape.last_at("NSE:TCS") is None
    tape.record(make_batch(1, 100.0, 101.0))
    before = tape.before(make_batch(2, 99.0), 0)
    assert before is not None
    assert (before.price, before.at, before.sequence) == (101.0, START + timedelta(seconds=1, microseconds=1), 1)
    assert tape.last_at("NSE:TCS") == before.at


@pytest.mark.parametrize("freshness", list(Freshness))
def test_a_tick_is_as_fresh_as_its_batch_and_not_as_the_next(tape: Tape, freshness: Freshness) -> None:
    tape.record(replace(make_batch(1, 100.0, 99.0, 101.0), freshness=freshness, source="zerodha"))
    following = make_batch(2, 100.0, 100.5)
    before, within = tape.before(following, 0), tape.before(following, 1)
    tape.record(following)
    nearest = [tape.closest("NSE:TCS", each, NOWHERE).tick for each in (BUY, SELL)]
    ticks = [(tick.source, tick.freshness) for tick in (before, within, *nearest) if tick is not None]
    assert ticks == [
        ("zerodha", freshness),
        ("sample", Freshness.SIMULATED),
        ("zerodha", freshness),
        ("zerodha", freshness),
    ]


def test_the_tick_before_one_can_stand_in_the_same_batch(tape: Tape) -> None:
    batch = make_batch(1, 100.0, 5.0, math.nan, 99.0, instruments=["NSE:TCS", "NSE:INFY", "NSE:TCS", "NSE:TCS"])
    before = tape.before(batch, 3)
    assert before is not None
    assert (before.price, before.position) == (100.0, Position(1, 1))


def test_an_instrument_without_alerts_is_not_remembered(tape: Tape) -> None:
    tape.record(make_batch(1, 100.0, instruments=["NSE:INFY"]))
    assert tape.last_at("NSE:INFY") is None
    assert tape.before(make_batch(2, 99.0, instruments=["NSE:INFY"]), 0) is None
    assert tape.closest("NSE:INFY", BUY, NOWHERE) == Closest(None, is_known=False)


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_what_is_no_price_is_left_out(tape: Tape, price: float) -> None:
    tape.record(make_batch(1, 100.0, price))
    before = tape.before(make_batch(2, 99.0), 0)
    assert before is not None
    assert before.price == 100.0
    assert price_of(tape.closest("NSE:TCS", BUY, NOWHERE)) == 100.0
    assert price_of(tape.closest("NSE:TCS", SELL, NOWHERE)) == 100.0


def test_the_nearest_is_the_lowest_for_a_buy_and_the_highest_for_a_sell(tape: Tape) -> None:
    assert tape.closest("NSE:TCS", BUY, NOWHERE) == Closest(None, is_known=True)
    tape.record(make_batch(1, 100.0, 98.0, 103.0, 101.0))
    assert price_of(tape.closest("NSE:TCS", BUY, NOWHERE)) == 98.0
    assert price_of(tape.closest("NSE:TCS", SELL, NOWHERE)) == 103.0


def test_a_range_begins_with_each_arming(tape: Tape) -> None:
    tape.record(make_batch(1, 90.0, 110.0))
    tape.begin("NSE:TCS", Position(1, 1))
    tape.begin("NSE:TCS", NOWHERE)
    assert tape.closest("NSE:TCS", BUY, Position(1, 1)) == Closest(None, is_known=True)
    tape.record(make_batch(2, 99.0, 101.0))
    assert price_of(tape.closest("NSE:TCS", BUY, Position(1, 1))) == 99.0
    assert price_of(tape.closest("NSE:TCS", SELL, Position(1, 1))) == 101.0
    assert price_of(tape.closest("NSE:TCS", BUY, NOWHERE)) == 90.0
    assert price_of(tape.closest("NSE:TCS", SELL, NOWHERE)) == 110.0


def test_a_range_that_begins_ahead_leaves_what_comes_up_to_it_to_those_before(tape: Tape) -> None:
    tape.begin("NSE:TCS", Position(1, 5))
    tape.record(make_batch(4, 90.0))
    tape.record(make_batch(6, 95.0))
    assert price_of(tape.closest("NSE:TCS", BUY, Position(1, 5))) == 95.0
    assert price_of(tape.closest("NSE:TCS", BUY, NOWHERE)) == 90.0
    ahead = Tape()
    ahead.begin("NSE:TCS", Position(1, 5))
    ahead.record(make_batch(4, 90.0))
    assert ahead.closest("NSE:TCS", BUY, Position(1, 5)) == Closest(None, is_known=True)


def test_what_was_before_the_first_range_is_not_known() -> None:
    tape = Tape()
    tape.begin("NSE:TCS", Position(1, 5))
    tape.record(make_batch(6, 95.0))
    closest = tape.closest("NSE:TCS", BUY, Position(1, 3))
    assert (price_of(closest), closest.is_known) == (95.0, False)


def test_what_a_nearer_tick_from_before_the_arming_hides_is_not_known(tape: Tape) -> None:
    tape.record(make_batch(1, 90.0))
    tape.record(make_batch(2, 95.0, 99.0))
    assert tape.closest("NSE:TCS", BUY, Position(1, 1)) == Closest(None, is_known=False)
    assert price_of(tape.closest("NSE:TCS", SELL, Position(1, 1))) == 99.0


def test_of_very_many_armings_the_oldest_run_together(tape: Tape) -> None:
    for sequence in range(1, 40):
        tape.begin("NSE:TCS", Position(1, sequence))
        tape.record(make_batch(sequence + 1, 100.0 + sequence))
    assert price_of(tape.closest("NSE:TCS", BUY, NOWHERE)) == 101.0
    assert price_of(tape.closest("NSE:TCS", SELL, NOWHERE)) == 139.0
    assert price_of(tape.closest("NSE:TCS", BUY, Position(1, 38))) == 138.0
    assert not tape.closest("NSE:TCS", BUY, Position(1, 5)).is_known
    assert price_of(tape.closest("NSE:TCS", SELL, Position(1, 5))) == 139.0


@given(
    prices=st.lists(st.floats(1, 9).map(float), min_size=1, max_size=60),
    armings=st.sets(st.integers(0, 60), max_size=40),
)
def test_what_it_says_is_nearest_is_so_and_the_newest_armings_are_always_known(
    prices: list[float], armings: set[int]
) -> None:
    tape = Tape()
    tape.begin("NSE:TCS", NOWHERE)
    for sequence, price in enumerate(prices, start=1):
        if sequence - 1 in armings:
            tape.begin("NSE:TCS", Position(1, sequence - 1))
        tape.record(make_batch(sequence, price))
    begun = sorted(each for each in armings if each < len(prices))
    for index, arming in enumerate(reversed(begun)):
        for alert_type, nearest in ((BUY, min), (SELL, max)):
            closest = tape.closest("NSE:TCS", alert_type, Position(1, arming))
            assert closest.is_known or index >= MAX_RANGES - 2
            assert not closest.is_known or price_of(closest) == nearest(prices[arming:])


def test_a_tick_in_front_of_every_arming_belongs_to_no_range() -> None:
    tape = Tape()
    tape.begin("NSE:TCS", Position(1, 5))

    tape.record(make_batch(3, 100.0))

    assert tape.closest("NSE:TCS", BUY, Position(1, 5)) == Closest(None, is_known=True)
    assert tape.last_at("NSE:TCS") == START + timedelta(seconds=3)


def test_rewinding_forgets_what_came_behind(tape: Tape) -> None:
    tape.begin("NSE:INFY", NOWHERE)
    tape.record(make_batch(1, 50.0, instruments=["NSE:INFY"]))
    tape.record(make_batch(2, 100.0))

    tape.rewind(Position(1, 1))

    assert tape.last_at("NSE:TCS") is None
    assert tape.last_at("NSE:INFY") is not None


def test_ranges_that_saw_no_tick_run_together_like_others(tape: Tape) -> None:
    tape.record(make_batch(1, 100.0))
    for sequence in range(2, MAX_RANGES + 4):
        tape.begin("NSE:TCS", Position(1, sequence))

    tape.record(make_batch(MAX_RANGES + 9, 90.0))

    assert price_of(tape.closest("NSE:TCS", BUY, Position(1, MAX_RANGES + 3))) == 90.0
    assert price_of(tape.closest("NSE:TCS", SELL, NOWHERE)) == 100.0
