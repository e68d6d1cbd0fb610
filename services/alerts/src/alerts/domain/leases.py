"""Who evaluates which shard: leases on the parts of the instruments, shared out among the replicas that live.

A lease saves work: without it every replica would evaluate everything. What keeps a fire single does not rest on its
timing: whatever a holder writes, it writes in a transaction that finds its lease unchanged, so that for the others its
end is a crash, however long it goes on by itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from alerts.domain.ticks import SHARDS

LEASE_SECONDS = 6.0
RENEW_EVERY_SECONDS = 1.5


@dataclass(frozen=True, slots=True, order=True)
class Lease:
    """One replica's turn at a shard; `fence` counts the turns, so that an old one is told from the next."""

    shard: int
    fence: int


class LeaseLost(Exception):  # not an error: somebody else has the shard now
    """A shard is no longer ours, so nothing of it was written."""


@dataclass(frozen=True, slots=True)
class Tenancy:
    """A shard as the database has it; `holder` is None when it was given back."""

    shard: int
    holder: str | None
    fence: int


@dataclass(frozen=True, slots=True)
class Share:
    """What is a replica's.

    Attributes:
        held: its leases, those taken just now and those to be given up among them.
        surplus: those to be given up, because others have too few.
    """

    held: frozenset[Lease]
    surplus: Sequence[Lease] = ()

    def without(self, leases: Collection[Lease]) -> "Share":
        """Return it behind the giving up of leases."""
        surplus = [lease for lease in self.surplus if lease not in leases]
        return Share(self.held.difference(leases), surplus)


def fair_share(replicas: int) -> int:
    """Return how many shards one of some replicas holds at most."""
    return -(-SHARDS // replicas)


def share_of(holder: str, tenancies: Iterable[Tenancy], *, replicas: int) -> Share:
    """Return what a replica holds, and what of it is more than its fair share: those of the highest shards."""
    held = sorted(Lease(each.shard, each.fence) for each in tenancies if each.holder == holder)
    return Share(frozenset(held), held[fair_share(replicas) :])


def vacancies(holder: str, tenancies: Sequence[Tenancy], *, living: Collection[str]) -> Sequence[Lease]:
    """Return the turns that a replica can take: of shards nobody living holds, up to its fair share.

    Args:
        holder: the replica, which is among the living.
        tenancies: all shards.
        living: the replicas whose lease has not run out.
    """
    held = sum(each.holder == holder for each in tenancies)
    free = sorted(Lease(each.shard, each.fence + 1) for each in tenancies if each.holder not in living)
    return free[: max(fair_share(len(living)) - held, 0)]
