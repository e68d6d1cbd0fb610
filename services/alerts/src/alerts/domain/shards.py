"""Takes and gives up shards: which ones, the leases in the database say; how, so that nothing is lost, is said here."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from alerts.domain.firing import Firing
from alerts.domain.leases import RENEW_EVERY_SECONDS, Lease, Share
from alerts.domain.ports import AlertStore, Announcer, LeaseStore, ProgressStore
from alerts.domain.progress import ProgressKeeper
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from chassis.tasks import running

log = logging.getLogger(__name__)


class ShardLoader:
    """Makes the watch of a shard from what the holder before left in the database."""

    def __init__(self, alerts: AlertStore, progress: ProgressStore, clock: Clock) -> None:
        """Load from two stores."""
        self._alerts = alerts
        self._progress = progress
        self._clock = clock

    async def load(self, leases: Collection[Lease]) -> Sequence[Watch]:
        """Return the watches of some shards; what is still to be taken up is not in them.

        Raises:
            DatabaseUnavailable: nothing was loaded.
        """
        shards = sorted(lease.shard for lease in leases)
        checkpoints = await self._progress.load(shards, now=self._clock.now())
        # One by one: a shard's alerts are all in front of it when it begins to be evaluated.
        return [await self._fill(Watch(checkpoints[lease.shard], lease)) for lease in sorted(leases)]

    async def _fill(self, watch: Watch) -> Watch:
        async for portion in self._alerts.armed([watch.lease.shard]):
            watch.load(portion)
        return watch


class ShardKeeper:
    """Holds this replica's share of the shards: says that it lives, takes what is free, gives up what is too much.

    Attributes:
        taken: how many shards began to be evaluated here, as often as they did.
        released: how many were given up for others while this replica ran.
        lost: how many were found to be somebody else's.
    """

    def __init__(
        self,
        watches: Watches,
        leases: LeaseStore,
        loader: ShardLoader,
        *,
        firing: Firing,
        progress: ProgressKeeper,
        announcer: Announcer,
        follow: Callable[[Sequence[Watch]], None],
        clock: Clock,
    ) -> None:
        """Keep shards.

        Args:
            watches: the shards that are evaluated.
            leases: says which ones are ours.
            loader: makes the watches of those that are taken.
            firing: commits what a shard has pending when it is given up.
            progress: saves how far it was.
            announcer: tells others that it can be taken.
            follow: takes watches that are to be evaluated from now on.
            clock: says when.
        """
        self._watches = watches
        self._leases = leases
        self._loader = loader
        self._firing = firing
        self._progress = progress
        self._announcer = announcer
        self._follow = follow
        self._clock = clock
        self._share = Share(frozenset())
        # Not given back yet. An alert may still be committed under such a lease, onto the watch that was dropped:
        # no other watch is ever loaded under it, for it may not find that alert.
        self._dropped: set[Lease] = set()
        self._has_work = asyncio.Event()
        # What the database says is applied before it is asked to change anything else.
        self._turn = asyncio.Lock()
        self._has_left = False
        self.taken = self.released = self.lost = 0

    async def begin(self) -> None:
        """Take what can be had, and load it, however long that takes.

        Raises:
            DatabaseUnavailable: it may be held, but is not evaluated.
        """
        await self._leases.begin()
        await self.renew()
        async with running(self.run()):
            await self.settle()

    async def renew(self) -> None:
        """Say that this replica lives, see what is its share, and stop evaluating what is not any more.

        Raises:
            DatabaseUnavailable: the share stays what it was.
        """
        async with self._turn:
            if self._has_left:
                return
            self._share = await self._leases.renew()
            self._dropped &= self._share.held
        lost = [watch for watch in self._watches if watch.lease not in self._share.held]
        for watch in lost:
            self._watches.drop(watch)
            self.lost += 1
            log.warning("shard lost", extra={"shard": watch.lease.shard, "fence": watch.lease.fence})
        if lost:
            self._firing.notify()
        if self._dropped or self._share.surplus or self._untaken():
            self._has_work.set()

    async def settle(self) -> None:
        """Give up what is too much, and load what was taken.

        Raises:
            DatabaseUnavailable: what is left undone is done behind the next `renew`.
        """
        if self._dropped:
            await self._release(sorted(self._dropped))
        if self._share.surplus:
            await self._give_up(self._share.surplus)
        if untaken := self._untaken():
            await self._take(untaken)

    async def run(self) -> None:
        """Renew the leases until cancelled."""
        while True:
            await self._clock.sleep(RENEW_EVERY_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Renew the leases now, because there may be shards to take; what fails is tried again soon."""
        try:
            await self.renew()
        except DatabaseUnavailable as error:
            log.debug("leases not renewed", extra={"reason": error.reason})
        except Exception:
            log.exception("leases not renewed")

    async def run_settling(self) -> None:
        """Take and give up until cancelled; how long that takes keeps no lease from being renewed."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self.settle()
            except DatabaseUnavailable as error:
                log.debug("shards not settled", extra={"reason": error.reason})
            except Exception:
                log.exception("shards not settled")

    async def leave(self) -> None:
        """Give everything back; what is pending was committed and what was evaluated was saved before.

        Raises:
            DatabaseUnavailable: the leases run out by themselves.
        """
        async with self._turn:
            # What is given back would be taken again at the news of it.
            self._has_left = True
            await self._leases.leave()
        await self._announcer.released()

    def _untaken(self) -> Collection[Lease]:
        evaluated = {watch.lease for watch in self._watches}
        return self._share.held.difference(evaluated, self._share.surplus, self._dropped)

    async def _take(self, leases: Collection[Lease]) -> None:
        """Load shards, and evaluate each as soon as it is loaded."""
        taken: list[Watch] = []
        try:
            for lease in sorted(leases):
                taken += await self._take_one(lease)
        finally:
            if taken:
                alerts = sum(watch.watched for watch in taken)
                log.info("shards taken", extra={"shards": _written(watch.lease for watch in taken), "alerts": alerts})

    async def _take_one(self, lease: Lease) -> Sequence[Watch]:
        loaded = await self._loader.load([lease])
        # What was lost while it was loaded is somebody else's.
        watches = [watch for watch in loaded if watch.lease in self._share.held]
        self._follow(watches)
        self.taken += len(watches)
        return watches

    async def _give_up(self, leases: Sequence[Lease]) -> None:
        """Stop evaluating shards, save all that came of it, and only then let others have them.

        What fails leaves them dropped: to whoever has them next it was a crash.
        """
        watches = [watch for watch in self._watches if watch.lease in leases]
        self._dropped.update(leases)
        for watch in watches:
            self._watches.drop(watch)
        self._firing.notify()
        await self._firing.commit(watches)
        await self._progress.save_of(watches)
        await self._release(leases)

    async def _release(self, leases: Sequence[Lease]) -> None:
        async with self._turn:
            await self._leases.release(leases)
            self._share = self._share.without(leases)
            self._dropped.difference_update(leases)
        self.released += len(leases)
        log.info("shards released", extra={"shards": _written(leases)})
        await self._announcer.released()


def _written(leases: Iterable[Lease]) -> str:
    return ",".join(str(shard) for shard in sorted(lease.shard for lease in leases))
