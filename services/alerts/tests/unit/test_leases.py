from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.leases import Lease, Share, Tenancy, fair_share, share_of, vacancies
from alerts.domain.ticks import SHARDS

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)


def tenancies_of(*holders: str | None) -> list[Tenancy]:
    """Return all shards, held by `holders` in turn, each for the second time."""
    return [Tenancy(shard, holders[shard % len(holders)], 2) for shard in range(SHARDS)]


@pytest.mark.parametrize(("replicas", "shards"), [(1, 16), (2, 8), (3, 6), (5, 4), (16, 1), (17, 1)])
def test_a_fair_share_leaves_no_shard_over(replicas: int, shards: int) -> None:
    assert fair_share(replicas) == shards
    assert fair_share(replicas) * replicas >= SHARDS


def test_one_replica_takes_all_that_is_free() -> None:
    taken = vacancies("a", tenancies_of(None), living={"a"})
    assert taken == [Lease(shard, 3) for shard in range(SHARDS)]


def test_what_a_lost_replica_held_is_free_and_what_a_living_one_holds_is_not() -> None:
    taken = vacancies("a", tenancies_of("lost", "b"), living={"a", "b"})
    assert [lease.shard for lease in taken] == [0, 2, 4, 6, 8, 10, 12, 14]


def test_no_more_is_taken_than_is_fair() -> None:
    assert len(vacancies("a", tenancies_of(None), living={"a", "b", "c"})) == 6
    assert vacancies("a", tenancies_of("a", None), living={"a", "b"}) == []


def test_what_is_more_than_fair_is_to_be_given_up() -> None:
    share = share_of("a", tenancies_of("a"), replicas=2)
    assert share.held == {Lease(shard, 2) for shard in range(SHARDS)}
    assert [lease.shard for lease in share.surplus] == list(range(8, 16))
    left = share.without(share.surplus)
    assert left == Share(frozenset(Lease(shard, 2) for shard in range(8)), [])


class World:
    """Replicas that come, die, and renew and give up in turn, as the database makes them."""

    def __init__(self) -> None:
        self.tenancies = tenancies_of(None)
        self.living = ["r0"]

    def renew(self, holder: str) -> None:
        fences = [each.fence for each in self.tenancies]
        for turn in vacancies(holder, self.tenancies, living=self.living):
            self.tenancies[turn.shard] = Tenancy(turn.shard, holder, turn.fence)
        for lease in share_of(holder, self.tenancies, replicas=len(self.living)).surplus:
            self.tenancies[lease.shard] = Tenancy(lease.shard, None, lease.fence + 1)
        assert all(after.fence >= before for after, before in zip(self.tenancies, fences, strict=True))

    def step(self, number: int, what: str, chosen: int) -> None:
        holder = self.living[chosen % len(self.living)]
        if what == "join":
            self.living.append(f"r{number}")
        elif what == "renew":
            self.renew(holder)
        elif len(self.living) > 1:
            self.living.remove(holder)


@given(st.lists(st.tuples(st.sampled_from(["join", "die", "renew"]), st.integers(0, 50)), max_size=60))
def test_however_replicas_come_and_go_each_shard_has_one_holder_in_the_end(steps: list[tuple[str, int]]) -> None:
    world = World()
    for number, (what, chosen) in enumerate(steps, start=1):
        world.step(number, what, chosen)
    for holder in [*world.living, *world.living]:
        world.renew(holder)
    counts = [sum(each.holder == holder for each in world.tenancies) for holder in world.living]
    assert sum(counts) == SHARDS
    assert max(counts) <= fair_share(len(world.living))
