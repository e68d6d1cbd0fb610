"""Saves how far ticks were evaluated, every second and at the end."""

import logging

from alerts.domain.checkpoint import Progress
from alerts.domain.ports import ProgressStore
from alerts.domain.watch import Watch
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 1.0


class ProgressKeeper:
    """Saves the watch's progress when there is any."""

    def __init__(self, watch: Watch, store: ProgressStore, clock: Clock) -> None:
        self._watch = watch
        self._store = store
        self._clock = clock
        self._saved: Progress | None = None

    async def save(self) -> None:
        """Save the progress there is now.

        Raises:
            DatabaseUnavailable: it may or may not be saved.
        """
        progress = self._watch.progress()
        if progress == self._saved:
            return
        await self._store.save(progress)
        self._watch.saved(progress)
        self._saved = Progress(progress.checkpoint, missing=())
        for missing in progress.missing:
            log.warning(
                "ticks not evaluated",
                extra={
                    "reason": missing.reason.value,
                    "from_at": missing.from_at.isoformat(),
                    "to_at": missing.to_at.isoformat(),
                    "shard": missing.shard,
                },
            )

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
