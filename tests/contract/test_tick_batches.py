"""What publishers of ticks lose is recorded by alerts, also what they lose last: both ends, and a NATS that is away."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.continuity import NotEvaluated, Reason
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.watch import Watch
from alerts.feed.batches import read_batch
from brokers.domain.ticks import Freshness as BrokersFreshness
from brokers.domain.ticks import Tick as BrokersTick
from brokers.domain.ticks import shard_of
from brokers.feed.publisher import TickPublisher as BrokersPublisher
from chassis.bus import Bus
from chassis.clock import ManualClock
from chassis.errors import BusUnavailable
from market.domain.leadership import Candidate
from market.domain.lease import NOT_WHOLE
from market.domain.lease import Lease as MarketLease
from market.domain.quotes import Freshness
from market.domain.ticks import Tick, microseconds_of
from market.feed.arrivals import Arrivals
from market.feed.publisher import TickPublisher

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TCS = "NSE:TCS"
SHARD = shard_of(TCS)
LOST_SECONDS = 60


class Wire:
    """NATS and its stream: what is published while it is there is evaluated, in the order in which it came."""

    def __init__(self) -> None:
        self.is_away = False
        first = Checkpoint(began_at=NOON, resume=Mark(NOWHERE, NOON), evaluated=NOWHERE, seen=())
        self.watch = Watch(first, Lease(SHARD, 1))
        self._sequence = 0

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.is_away:
            raise BusUnavailable
        assert subject == f"ticks.{SHARD}"
        self._sequence += 1
        self.watch.evaluate(read_batch(payload, Position(1, self._sequence), shard=SHARD))

    def missing(self) -> list[NotEvaluated]:
        """Return what was found missing since this was asked last."""
        progress = self.watch.progress()
        self.watch.saved(progress)
        return list(progress.missing)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


async def brokers_tick(publisher: BrokersPublisher, clock: ManualClock) -> None:
    publisher.offer([BrokersTick(TCS, 100.0, microseconds_of(clock.now()))], BrokersFreshness.LIVE)
    await publisher.publish_waiting()


async def test_what_brokers_dropped_until_it_was_killed_is_recorded(wire: Wire, clock: ManualClock) -> None:
    """Its own link to NATS is away for a minute, and back after its next start, whose clock was set back meanwhile."""
    publisher = BrokersPublisher(cast("Bus", wire), clock, publisher_id="brokers")
    await brokers_tick(publisher, clock)
    wire.missing()
    await clock.advance(1)
    await brokers_tick(publisher, clock)
    wire.is_away = True
    for _ in range(LOST_SECONDS):
        await clock.advance(1)
        await brokers_tick(publisher, clock)
    assert wire.missing() == []
    wire.is_away = False
    await clock.advance(1)
    set_back = ManualClock(NOON - timedelta(minutes=10))
    publisher = BrokersPublisher(cast("Bus", wire), set_back, publisher_id="brokers")
    await brokers_tick(publisher, clock)
    (missing,) = wire.missing()
    assert missing == NotEvaluated(
        Reason.SEQUENCE_JUMP,
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=2 + LOST_SECONDS),
        SHARD,
        "brokers",
    )
    await brokers_tick(publisher, clock)
    assert wire.missing() == []
    wire.is_away = True
    await brokers_tick(publisher, clock)
    wire.is_away = False
    await brokers_tick(publisher, clock)
    assert len(wire.missing()) == 1


class Row:
    """The lease, in a database that can be away."""

    def __init__(self) -> None:
        self.lease = MarketLease(None, 0, 0)

    async def read(self) -> MarketLease:
        return self.lease

    async def renew(self, held: MarketLease) -> MarketLease | None:
        if (self.lease.holder, self.lease.epoch) != (held.holder, held.epoch):
            return None
        self.lease = MarketLease(held.holder, held.epoch, self.lease.renewals + 1)
        return self.lease

    async def take(self, seen: MarketLease, next_turn: MarketLease) -> MarketLease | None:
        if seen != self.lease:
            return None
        self.lease = next_turn
        return next_turn

    async def release(self, holder: str, *, is_whole: bool) -> None:
        assert self.lease.holder == holder
        self.lease = MarketLease(None if is_whole else NOT_WHOLE, self.lease.epoch, self.lease.renewals)


@dataclass
class Replica:
    """One of market's."""

    candidate: Candidate
    publisher: TickPublisher
    clock: ManualClock

    async def tick(self) -> None:
        await self.publisher.publish([Tick(TCS, 100.0, microseconds_of(self.clock.now()), None, None)])

    async def take_over(self) -> None:
        """Look until the lease is had, as a replica does that follows."""
        while not self.candidate.is_leading:
            await self.clock.advance(0.5)
            await self.candidate.look()


@pytest.fixture
def replicas(wire: Wire, clock: ManualClock) -> tuple[Replica, Replica]:
    row = Row()

    def replica(name: str) -> Replica:
        candidate = Candidate(name, row, clock)
        publisher = TickPublisher(
            cast("Bus", wire),
            clock,
            leadership=candidate,
            arrivals=Arrivals(clock),
            publisher_id=name,
            source="sample",
            freshness=Freshness.SIMULATED,
        )
        return Replica(candidate, publisher, clock)

    return replica("one"), replica("two")


async def test_what_a_leader_dropped_while_it_could_not_renew_is_recorded_when_another_follows(
    replicas: tuple[Replica, Replica], wire: Wire, clock: ManualClock
) -> None:
    leader, follower = replicas
    for _ in range(3):  # each is lost to the other in turn
        await leader.take_over()
        await leader.tick()
        wire.missing()
        last_at = clock.now()
        for _ in range(LOST_SECONDS):  # the database is away
            await clock.advance(1)
            await leader.tick()
        assert wire.missing() == []
        assert leader.publisher.dropped_ticks > 0
        await follower.take_over()
        await follower.tick()
        (missing,) = wire.missing()
        assert (missing.from_at, missing.to_at) == (last_at + timedelta(seconds=4), clock.now())
        await leader.candidate.look()
        leader, follower = follower, leader


@pytest.mark.parametrize("has_lost", [True, False])
async def test_a_leader_that_is_stopped_in_peace_leaves_an_interval_only_if_it_may_have_lost_ticks(
    replicas: tuple[Replica, Replica], wire: Wire, clock: ManualClock, *, has_lost: bool
) -> None:
    leader, follower = replicas
    await leader.take_over()
    await leader.tick()
    for _ in range(3):
        last_at = clock.now()
        await clock.advance(1)
        wire.is_away = has_lost
        await leader.tick()
        wire.is_away = False
        await leader.candidate.leave()
        await follower.take_over()
        await follower.tick()
        expected = [(last_at, clock.now())] if has_lost else []
        assert [(each.from_at, each.to_at) for each in wire.missing()] == expected
        leader, follower = follower, leader
