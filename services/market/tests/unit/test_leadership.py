"""Who leads: by what was seen of the lease, on clocks that agree on nothing but how fast they go."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from chassis.tasks import running
from market.domain.leadership import LOOK_EVERY_SECONDS, RENEW_EVERY_SECONDS, Alone, Candidate
from market.domain.lease import HOLD_SECONDS, LEASE_SECONDS, NOT_WHOLE, Lease
from market.domain.ticks import microseconds_of

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TAKEOVER_SECONDS = 10.0


class FakeLeases:
    """The one row; each change happens `before` seconds after it was asked for and is told `after` seconds later."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.lease = Lease(None, 0, 0)
        self.failure: Exception | None = None
        self.delay: Callable[[], float] = lambda: 0.0

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        await self._wait()
        if self.failure is not None:
            raise self.failure
        yield
        await self._wait()

    async def _wait(self) -> None:
        if seconds := self.delay():
            await self._clock.sleep(seconds)

    async def read(self) -> Lease:
        async with self._asked():
            return self.lease

    async def renew(self, held: Lease) -> Lease | None:
        renewed = None
        async with self._asked():
            if (self.lease.holder, self.lease.epoch) == (held.holder, held.epoch):
                renewed = self.lease = replace(self.lease, renewals=self.lease.renewals + 1)
        return renewed

    async def take(self, seen: Lease, next_turn: Lease) -> Lease | None:
        taken = None
        async with self._asked():
            if (self.lease.epoch, self.lease.renewals) == (seen.epoch, seen.renewals):
                taken = self.lease = next_turn
        return taken

    async def release(self, holder: str, *, is_whole: bool) -> None:
        async with self._asked():
            if self.lease.holder == holder:
                self.lease = replace(self.lease, holder=None if is_whole else NOT_WHOLE)


class Elsewhere:
    """Another machine's clock: as fast as ours, and with another time of day."""

    def __init__(self, clock: ManualClock, ahead: timedelta) -> None:
        self._clock = clock
        self._ahead = ahead
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        return self._clock.now() + self._ahead


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def leases(clock: ManualClock) -> FakeLeases:
    return FakeLeases(clock)


@pytest.fixture
def first(leases: FakeLeases, clock: ManualClock) -> Candidate:
    return Candidate("first", leases, clock)


@pytest.fixture
def second(leases: FakeLeases, clock: ManualClock) -> Candidate:
    return Candidate("second", leases, clock)


async def pass_by(clock: ManualClock, seconds: float, *candidates: Candidate) -> None:
    """Let time pass, each candidate that still runs looking twice a second."""
    for _ in range(round(seconds / LOOK_EVERY_SECONDS)):
        await clock.advance(LOOK_EVERY_SECONDS)
        for each in candidates:
            await each.look()


async def test_one_process_alone_leads_at_once_and_for_ever(clock: ManualClock) -> None:
    alone = Alone(clock)
    assert alone.is_leading
    assert await alone.begun() == alone.epoch == microseconds_of(NOON)
    assert alone.takeovers == 1
    alone.note_loss()
    assert not alone.is_seamless  # what became of the process before it nobody knows


async def test_what_nobody_holds_is_taken_at_the_first_look(first: Candidate, second: Candidate) -> None:
    assert (first.is_leading, first.epoch) == (False, None)
    assert await first.look()
    assert await second.look()
    assert (first.is_leading, first.epoch, first.takeovers) == (True, microseconds_of(NOON), 1)
    assert (second.is_leading, second.epoch, second.takeovers) == (False, None, 0)


async def test_who_renews_keeps_it(first: Candidate, second: Candidate, clock: ManualClock) -> None:
    await first.look()
    epoch = first.epoch
    await pass_by(clock, 60.0, first, second)
    assert (first.is_leading, first.epoch, first.takeovers) == (True, epoch, 1)
    assert second.epoch is None


async def test_a_lost_holder_is_followed_within_ten_seconds_and_not_before_it_has_ended(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    await second.look()
    await pass_by(clock, HOLD_SECONDS - LOOK_EVERY_SECONDS, second)
    assert first.is_leading
    await pass_by(clock, LOOK_EVERY_SECONDS, second)
    assert not first.is_leading
    assert not second.is_leading
    await pass_by(clock, TAKEOVER_SECONDS - HOLD_SECONDS, second)
    assert second.is_leading
    assert second.epoch is not None
    assert first.epoch is not None
    assert second.epoch > first.epoch


async def test_who_wakes_after_its_turn_finds_that_it_is_over(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    await pass_by(clock, TAKEOVER_SECONDS, second)
    assert not first.is_leading
    assert await first.look()
    assert first.epoch is None
    await pass_by(clock, TAKEOVER_SECONDS, first, second)
    assert (first.epoch, second.is_leading) == (None, True)


async def test_who_wakes_before_another_took_it_goes_on_in_its_turn(first: Candidate, clock: ManualClock) -> None:
    await first.look()
    epoch = first.epoch
    await clock.advance(60.0)
    assert (first.is_leading, first.epoch) == (False, epoch)
    await first.look()
    assert (first.is_leading, first.epoch, first.takeovers) == (True, epoch, 1)


async def test_what_is_given_back_is_taken_at_the_next_look(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    await second.look()
    await first.leave()
    assert (first.is_leading, first.epoch) == (False, None)
    await pass_by(clock, LOOK_EVERY_SECONDS, second)
    assert second.is_leading


async def test_who_takes_what_was_given_back_whole_knows_that_nothing_was_lost(
    first: Candidate, second: Candidate
) -> None:
    assert not first.is_seamless
    await first.look()
    assert first.is_seamless  # nobody led before
    await first.leave()
    assert not first.is_seamless
    await second.look()
    assert second.is_seamless


async def test_who_takes_what_was_given_back_with_a_loss_has_it_at_once_and_knows(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    await second.look()
    first.note_loss()
    await first.leave()
    await pass_by(clock, LOOK_EVERY_SECONDS, second)
    assert (second.is_leading, second.is_seamless) == (True, False)
    await second.leave()
    await first.look()
    assert not first.is_seamless  # of shards in which the second published nothing, nobody knows the loss yet
    first.note_shown()
    await first.leave()
    await second.look()
    assert second.is_seamless


async def test_what_was_shown_does_not_make_up_for_what_was_lost_since(first: Candidate, second: Candidate) -> None:
    await first.look()
    first.note_loss()
    first.note_shown()
    await first.leave()
    await second.look()
    assert not second.is_seamless


async def test_a_turn_whose_beginning_was_not_heard_of_is_given_back_as_what_it_inherited(
    first: Candidate, second: Candidate, leases: FakeLeases, clock: ManualClock
) -> None:
    leases.lease = Lease(NOT_WHOLE, 5, 0)
    take = leases.take

    async def taken_without_an_answer(seen: Lease, next_turn: Lease) -> Lease | None:
        await take(seen, next_turn)
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "take", taken_without_an_answer)
        assert not await first.look()
    await first.leave()
    await second.look()
    assert (second.is_leading, second.is_seamless) == (True, False)


async def test_who_takes_what_ran_out_does_not_know_what_was_lost(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    await pass_by(clock, TAKEOVER_SECONDS, second)
    assert (second.is_leading, second.is_seamless) == (True, False)
    await second.look()
    assert not second.is_seamless


async def test_what_was_lost_between_turns_does_not_count_for_the_next(first: Candidate, second: Candidate) -> None:
    first.note_loss()
    await first.look()
    await first.leave()
    await second.look()
    assert second.is_seamless


async def test_epochs_grow_though_the_next_holder_s_clock_is_behind(
    first: Candidate, leases: FakeLeases, clock: ManualClock
) -> None:
    await first.look()
    behind = Candidate("behind", leases, Elsewhere(clock, timedelta(hours=-1)))
    await first.leave()
    await behind.look()
    assert behind.epoch == microseconds_of(NOON) + 1


async def test_a_database_that_is_away_ends_the_holding_and_not_the_turn(
    first: Candidate, second: Candidate, leases: FakeLeases, clock: ManualClock
) -> None:
    await first.look()
    epoch = first.epoch
    leases.failure = DatabaseUnavailable()
    assert not await first.look()
    await pass_by(clock, 2 * TAKEOVER_SECONDS, first, second)
    assert (first.is_leading, first.epoch, second.epoch) == (False, epoch, None)
    leases.failure = None
    await first.look()
    assert (first.is_leading, first.epoch) == (True, epoch)


async def test_what_breaks_is_logged_and_tried_again(
    first: Candidate, leases: FakeLeases, caplog: pytest.LogCaptureFixture
) -> None:
    leases.failure = RuntimeError("a bug")
    assert not await first.look()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["lease not looked at"]
    leases.failure = None
    assert await first.look()
    assert first.is_leading


async def test_a_lease_that_was_taken_without_hearing_of_it_is_ours(first: Candidate, leases: FakeLeases) -> None:
    leases.lease = Lease("first", 5, 0)
    await first.look()
    assert (first.is_leading, first.epoch, first.is_seamless) == (True, 5, False)


async def test_who_is_beaten_to_it_does_not_lead(
    first: Candidate, second: Candidate, leases: FakeLeases, clock: ManualClock
) -> None:
    leases.delay = lambda: 0.01
    looking = asyncio.gather(first.look(), second.look())
    while not looking.done():
        await clock.advance(0.01)
    assert first.is_leading != second.is_leading


async def test_those_who_wait_for_a_turn_are_told_of_it(
    first: Candidate, second: Candidate, clock: ManualClock
) -> None:
    await first.look()
    assert await first.begun() == first.epoch
    waiting = asyncio.create_task(second.begun())
    await pass_by(clock, 1.0, first, second)
    assert not waiting.done()
    await pass_by(clock, TAKEOVER_SECONDS, second)
    assert await waiting == second.epoch


async def test_it_is_looked_at_more_often_by_who_has_not_got_it(
    first: Candidate, second: Candidate, leases: FakeLeases, clock: ManualClock
) -> None:
    await first.look()
    async with running(first.run(), second.run()):
        for _ in range(400):
            await clock.advance(0.1)
            assert first.is_leading
        assert leases.lease.renewals == pytest.approx(40.0 / RENEW_EVERY_SECONDS, abs=1)
        leases.failure = DatabaseUnavailable()
        await clock.advance(RENEW_EVERY_SECONDS)
        leases.failure = None
        renewals = leases.lease.renewals
        await clock.advance(LOOK_EVERY_SECONDS)
        assert leases.lease.renewals == renewals + 1  # what failed is tried again soon


@pytest.mark.parametrize("seed", range(20))
async def test_at_no_time_do_two_lead(leases: FakeLeases, clock: ManualClock, seed: int) -> None:
    chance = random.Random(seed)
    leases.delay = lambda: chance.uniform(2.0, 30.0) if chance.random() < 0.1 else chance.uniform(0.0, 0.2)
    hours = [timedelta(hours=chance.uniform(-2, 2)) for _ in range(3)]
    candidates = [Candidate(f"replica-{each}", leases, Elsewhere(clock, ahead)) for each, ahead in enumerate(hours)]
    epochs: list[int] = []
    async with running(*(each.run() for each in candidates)):
        for _ in range(3_000):
            await clock.advance(0.1)
            await asyncio.sleep(0)
            epochs += leading(candidates)
    turns = list(dict.fromkeys(epochs))
    assert len(turns) > 1
    assert turns == sorted(turns)


def leading(candidates: Sequence[Candidate]) -> list[int]:
    """Return the epochs of those who lead, of whom there is one at most."""
    epochs = [each.epoch for each in candidates if each.is_leading]
    assert len(epochs) <= 1
    return [epoch for epoch in epochs if epoch is not None]


def test_a_holder_ends_before_others_begin() -> None:
    assert HOLD_SECONDS + 2 * LOOK_EVERY_SECONDS <= LEASE_SECONDS
    assert LEASE_SECONDS + 2 * LOOK_EVERY_SECONDS < TAKEOVER_SECONDS
    assert 2 * RENEW_EVERY_SECONDS < HOLD_SECONDS
