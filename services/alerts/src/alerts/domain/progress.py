"""Saves how far ticks were evaluated, every second and at the end."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from alerts.domain.checkpoint import Progress
from alerts.domain.continuity import NotEvaluated
from alerts.domain.leases import Lease
from alerts.domain.ports import ProgressStore
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 1.0


class ProgressKeeper:
    """Saves the watches' progress when there is any."""

    def __init__(self, watches: Watches, store: ProgressStore, clock: Clock) -> None:
        self._watches = watches
        self._store = store
        self._clock = clock
        self._saved: dict[Lease, Progress] = {}
        self._saved_at = clock.monotonic()

    @property
    def age_seconds(self) -> float:
        """Return for how long there may have been progress that is not saved."""
        return self._clock.monotonic() - self._saved_at

    async def save(self) -> None:
        """Save the progress there is now.

        Raises:
            DatabaseUnavailable: it may or may not be saved.
        """
        began_at = self._clock.monotonic()
        watches = list(self._watches)
        held = {watch.lease for watch in watches}
        self._saved = {lease: progress for lease, progress in self._saved.items() if lease in held}
        await self.save_of(watches)
        self._saved_at = began_at

    async def save_of(self, watches: Iterable[Watch]) -> None:
        """Save the progress of some watches; that of a lease that is lost is left out, for it is the next holder's.

        Raises:
            DatabaseUnavailable: it may or may not be saved.
        """
        async with self._watches.saving:
            made = [(watch, watch.progress()) for watch in watches]
            new = {watch: progress for watch, progress in made if progress != self._saved.get(watch.lease)}
            if not new:
                return
            held = await self._store.save(tuple(new.values()))
            kept = {watch: progress for watch, progress in new.items() if watch.lease in held}
            for watch, progress in kept.items():
                watch.saved(progress)
                self._saved[watch.lease] = Progress(progress.lease, progress.checkpoint, missing=())
            _tell([missing for progress in kept.values() for missing in progress.missing])

    async def run(self) -> None:
        """Save every second until cancelled; what fails is tried again a second later."""
        while True:
            await self._clock.sleep(SAVE_EVERY_SECONDS)
            try:
                await self.save()
            except DatabaseUnavailable as error:
                log.debug("progress not saved", extra={"reason": error.reason})
            except Exception:
                log.exception("progress not saved")


def _tell(missing: Sequence[NotEvaluated]) -> None:
    """Log what is missing, once for all shards that miss the same."""
    shards: defaultdict[tuple[str, str, str], set[int | None]] = defaultdict(set)
    for each in missing:
        shards[each.reason.value, each.from_at.isoformat(), each.to_at.isoformat()].add(each.shard)
    for (reason, from_at, to_at), numbers in shards.items():
        written = ",".join(str(number) for number in sorted(number for number in numbers if number is not None))
        log.warning(
            "ticks not evaluated",
            extra={"reason": reason, "from_at": from_at, "to_at": to_at, "shards": written},
        )
