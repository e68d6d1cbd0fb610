"""The shards that this replica evaluates, each with a watch of its own."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter

from alerts.domain.alerts import Alert
from alerts.domain.matcher import Entry
from alerts.domain.ticks import shard_of
from alerts.domain.watch import Candidate, Watch, entry_of


@dataclass(frozen=True, slots=True)
class Portion:
    """Some fires to be committed together, and how many of them are each watch's first."""

    candidates: Sequence[Candidate]
    counts: Sequence[tuple[Watch, int]]

    def settle(self) -> None:
        """Take them for decided."""
        for watch, count in self.counts:
            watch.settle(count)


def portion_of(watches: Iterable[Watch], limit: int) -> Portion:
    """Return the fires that wait longest, in the order of the stream."""
    by_watch = [(watch, watch.candidates(limit)) for watch in watches if watch.backlog]
    in_order = merge(*(candidates for _, candidates in by_watch), key=attrgetter("position"))
    chosen = list(islice(in_order, limit))
    counts = [(watch, sum(each.lease == watch.lease for each in chosen)) for watch, _ in by_watch]
    return Portion(chosen, counts)


class Watches:
    """The watches by shard; `saving` is held by whoever saves what they have taken up, or makes them take up more."""

    def __init__(self) -> None:
        """Hold no shard yet."""
        self._watches: dict[int, Watch] = {}
        self.saving = asyncio.Lock()

    def __iter__(self) -> Iterator[Watch]:
        """Go through those there are now, whatever becomes of them meanwhile."""
        return iter(tuple(self._watches.values()))

    def __len__(self) -> int:
        """Count the shards that are held."""
        return len(self._watches)

    def of_shard(self, shard: int) -> Watch | None:
        """Return the watch of a shard; None when another replica holds it, or nobody."""
        return self._watches.get(shard)

    def of(self, instrument: str) -> Watch | None:
        """Return the watch of an instrument's shard; None when another replica holds it, or nobody."""
        return self._watches.get(shard_of(instrument))

    def add(self, watch: Watch) -> None:
        """Evaluate a shard from now on."""
        self._watches[watch.lease.shard] = watch

    def drop(self, watch: Watch) -> None:
        """Evaluate a shard no longer; nothing happens when it is another watch's by now."""
        if self._watches.get(watch.lease.shard) is watch:
            del self._watches[watch.lease.shard]

    def forget(self, alert: Alert) -> bool:
        """Stop watching for an alert that was replaced, deleted or ended; return whether its shard is held here."""
        return self.discard(entry_of(alert))

    def discard(self, entry: Entry) -> bool:
        """Stop watching for an arming; return whether its shard is held here."""
        watch = self.of(entry.instrument)
        if watch is None:
            return False
        watch.discard(entry)
        return True

    @property
    def watched(self) -> int:
        """Return how many armed alerts are watched for."""
        return sum(watch.watched for watch in self._watches.values())

    @property
    def backlog(self) -> int:
        """Return how many fires wait to be committed."""
        return sum(watch.backlog for watch in self._watches.values())

    @property
    def evaluated_at(self) -> datetime | None:
        """Return the time of the last tick evaluated, in the ticks' time; None when no shard is held."""
        return max((watch.evaluated_at for watch in self._watches.values()), default=None)
