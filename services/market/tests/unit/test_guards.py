import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock
from chassis.metrics import value_of
from market.domain.capabilities import Capability, NothingKnown
from market.domain.guards import Outcome, SourceGuard
from market.domain.source_failures import SourceFailed, SourceRefused
from market.figures import note_call, telling_of_vendors


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 5, 12, tzinfo=UTC))


@pytest.fixture
def calls() -> list[tuple[str, Capability, Outcome, float]]:
    return []


@pytest.fixture
def guard(clock: ManualClock, calls: list[tuple[str, Capability, Outcome, float]]) -> SourceGuard:
    return SourceGuard("fmp", clock, lambda *call: calls.append(call))


def raising(error: Exception) -> Callable[[], Awaitable[str]]:
    async def question() -> str:
        raise error

    return question


async def test_a_call_that_is_answered_is_told_with_its_time(
    guard: SourceGuard, clock: ManualClock, calls: list[tuple[str, Capability, Outcome, float]]
) -> None:
    async def question() -> str:
        await clock.advance(0.25)
        return "answer"

    assert await guard.ask(Capability.NEWS, question, seconds=30) == "answer"
    assert calls == [("fmp", Capability.NEWS, Outcome.ANSWERED, 0.25)]


@pytest.mark.parametrize(
    ("error", "raised", "outcome"),
    [
        (NothingKnown("it"), NothingKnown, Outcome.NOTHING_KNOWN),
        (SourceRefused("may not be asked"), SourceFailed, Outcome.REFUSED),
        (TimeoutError(), SourceFailed, Outcome.LATE),
        (RuntimeError("a bug"), SourceFailed, Outcome.FAILED),
    ],
)
async def test_a_call_that_is_not_is_told_with_how_it_ended(
    guard: SourceGuard,
    calls: list[tuple[str, Capability, Outcome, float]],
    *,
    error: Exception,
    raised: type[Exception],
    outcome: Outcome,
) -> None:
    with pytest.raises(raised):
        await guard.ask(Capability.NEWS, raising(error), seconds=30)
    assert [call[2] for call in calls] == [outcome]


async def test_a_call_that_is_given_up_is_told(
    guard: SourceGuard, calls: list[tuple[str, Capability, Outcome, float]]
) -> None:
    asking = asyncio.create_task(guard.ask(Capability.NEWS, asyncio.Event().wait, seconds=30))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [call[2] for call in calls] == [Outcome.ABANDONED]


async def test_calls_and_what_is_left_alone_are_in_the_metrics(clock: ManualClock) -> None:
    guard = SourceGuard("made-up", clock, note_call)
    labels = {"vendor": "made-up", "question": "news"}
    with telling_of_vendors({"made-up": guard}):
        assert value_of("bourse_vendor_breaker_open", {"vendor": "made-up"}) == 0
        for _ in range(3):
            with pytest.raises(SourceFailed):
                await guard.ask(Capability.NEWS, raising(SourceRefused("is away")), seconds=30)
        assert value_of("bourse_vendor_breaker_open", {"vendor": "made-up"}) == 1
    assert value_of("bourse_vendor_breaker_open", {"vendor": "made-up"}) is None
    assert value_of("bourse_vendor_calls_total", labels | {"outcome": "refused"}) == 3
    assert value_of("bourse_vendor_seconds_count", labels) == 3
