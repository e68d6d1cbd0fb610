from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock
from market.domain.breaker import CircuitBreaker


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 5, tzinfo=UTC))


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(clock, failures_to_open=3, rest_seconds=10.0)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.note_failure()


def test_it_opens_after_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.allows()
    fail(breaker, 1)
    assert breaker.is_open
    assert not breaker.allows()


def test_a_success_in_between_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.note_success()
    fail(breaker, 2)
    assert not breaker.is_open


async def test_after_a_rest_it_lets_one_trial_through(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    await clock.advance(9.9)
    assert not breaker.allows()
    await clock.advance(0.2)
    assert breaker.allows()
    assert not breaker.allows()


async def test_a_trial_that_succeeds_closes_it_and_one_that_fails_does_not(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    await clock.advance(10.0)
    assert breaker.allows()
    fail(breaker, 1)
    assert not breaker.allows()
    await clock.advance(10.0)
    assert breaker.allows()
    breaker.note_success()
    assert breaker.allows()
    assert breaker.allows()


@pytest.mark.parametrize(("retry_after", "rest"), [(1.0, 1.0), (60.0, 10.0), (None, 10.0)])
async def test_it_rests_no_longer_than_what_failed_asks_for(
    breaker: CircuitBreaker, clock: ManualClock, retry_after: float | None, rest: float
) -> None:
    for _ in range(3):
        breaker.note_failure(retry_after)
    await clock.advance(rest - 0.1)
    assert not breaker.allows()
    await clock.advance(0.1)
    assert breaker.allows()


def test_a_rest_refuses_every_call(breaker: CircuitBreaker) -> None:
    breaker.rest(60.0)
    assert breaker.is_open
    assert not breaker.allows()


async def test_after_a_rest_one_call_is_let_through(breaker: CircuitBreaker, clock: ManualClock) -> None:
    breaker.rest(60.0)
    await clock.advance(59.9)
    assert not breaker.allows()
    await clock.advance(0.1)
    assert breaker.allows()
    assert not breaker.allows()
    breaker.note_success()
    assert not breaker.is_open


async def test_a_call_that_began_before_a_rest_neither_ends_nor_shortens_it(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    breaker.rest(60.0)
    breaker.note_success()
    breaker.note_failure(1.0)
    await clock.advance(59.9)
    assert not breaker.allows()
    await clock.advance(0.1)
    assert breaker.allows()


async def test_a_rest_of_no_given_length_is_as_long_as_after_failures(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    breaker.rest()
    await clock.advance(9.9)
    assert not breaker.allows()
    await clock.advance(0.1)
    assert breaker.allows()
