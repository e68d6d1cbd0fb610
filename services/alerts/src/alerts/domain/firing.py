"""Commits the fires that ticks have brought, many at a time, as long as it takes."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from alerts.domain.alerts import Alert
from alerts.domain.ports import FireStore
from alerts.domain.targets import format_target
from alerts.domain.watch import Watch
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

FIRES_PER_TRANSACTION = 500
RETRY_SECONDS = 0.5
MAX_BACKLOG = 20_000


class Firing:
    """Takes pending fires from the watch to the database."""

    def __init__(self, watch: Watch, store: FireStore, clock: Clock, *, on_committed: Callable[[], None]) -> None:
        """Commit through `store`, calling `on_committed` after each transaction that fired something."""
        self._watch = watch
        self._store = store
        self._clock = clock
        self._on_committed = on_committed
        self._pending = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def notify(self) -> None:
        """Say that there may be fires to commit."""
        if self._watch.backlog:
            self._pending.set()
        if self._watch.backlog >= MAX_BACKLOG:
            self._has_room.clear()

    async def wait_for_room(self) -> None:
        """Wait while too many fires are pending; reading ticks stops meanwhile, and their stream holds them."""
        await self._has_room.wait()

    async def commit_pending(self) -> None:
        """Commit everything that is pending.

        Raises:
            DatabaseUnavailable: what is pending stays so.
        """
        while candidates := self._watch.candidates(FIRES_PER_TRANSACTION):
            fired = await self._store.fire(candidates, committed_at=self._clock.now())
            self._watch.settle(len(candidates))
            self._tell(fired)
            if self._watch.backlog < MAX_BACKLOG:
                self._has_room.set()

    async def run(self) -> None:
        """Commit what comes until cancelled; a database that is away is tried again and again."""
        while True:
            await self._pending.wait()
            self._pending.clear()
            try:
                await self.commit_pending()
            except DatabaseUnavailable:
                await self._retry_later()
            except Exception:
                log.exception("firing failed")
                await self._retry_later()

    async def _retry_later(self) -> None:
        await self._clock.sleep(RETRY_SECONDS)
        self._pending.set()

    def _tell(self, fired: Sequence[Alert]) -> None:
        for alert in fired:
            log.info("alert fired", extra=_record_of(alert))
        if fired:
            self._on_committed()


def _record_of(alert: Alert) -> dict[str, object]:
    return {
        "alert_id": alert.id,
        "generation": alert.generation,
        "alert_type": alert.type.value,
        "instrument": alert.instrument,
        "price": format_target(alert.price),
        "fired_price": alert.fired and alert.fired.price,
        "fired_at": alert.fired and alert.fired.at.isoformat(),
    }
