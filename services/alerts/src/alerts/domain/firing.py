"""Commits the fires that ticks have brought, many at a time, as long as it takes."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from alerts.domain.alerts import Alert
from alerts.domain.ports import FireStore
from alerts.domain.targets import format_target
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches, portion_of
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

FIRES_PER_TRANSACTION = 1_000
RETRY_SECONDS = 0.5
MAX_BACKLOG = 20_000


class Firing:
    """Takes pending fires from the watches to the database."""

    def __init__(self, watches: Watches, store: FireStore, clock: Clock, *, on_committed: Callable[[], None]) -> None:
        """Commit through `store`, calling `on_committed` after each transaction that fired something."""
        self._watches = watches
        self._store = store
        self._clock = clock
        self._on_committed = on_committed
        self._pending = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        # Two who commit would both take the first fires for theirs.
        self._turn = asyncio.Lock()

    def notify(self) -> None:
        """Say that there may be fires to commit, or that some are no longer ours."""
        backlog = self._watches.backlog
        if backlog:
            self._pending.set()
        if backlog >= MAX_BACKLOG:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def wait_for_room(self) -> None:
        """Wait while too many fires are pending; reading ticks stops meanwhile, and their stream holds them."""
        await self._has_room.wait()

    async def commit_pending(self) -> None:
        """Commit everything that is pending.

        Raises:
            DatabaseUnavailable: what is pending stays so.
        """
        await self.commit(self._watches)

    async def commit(self, watches: Iterable[Watch]) -> None:
        """Commit everything that is pending in some watches; what was reached under a lost lease is the next holder's.

        Raises:
            DatabaseUnavailable: what is pending stays so.
        """
        async with self._turn:
            try:
                while (portion := portion_of(watches, FIRES_PER_TRANSACTION)).candidates:
                    fired = await self._store.fire(portion.candidates, committed_at=self._clock.now())
                    portion.settle()
                    self._tell(fired)
                    self.notify()
            finally:
                # Watches are dropped meanwhile, and what they had pending is in nobody's way any more.
                self.notify()

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
