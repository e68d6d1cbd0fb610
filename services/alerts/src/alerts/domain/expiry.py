"""Ends the alerts whose expiry ticks have passed, now and then.

Nothing depends on when it runs: a tick later than its expiry does not fire an alert anyway, which the transaction that
fires it decides. It takes ended alerts from the matcher and settles them in the database.
"""

import logging

from alerts.domain.ports import AlertStore
from alerts.domain.positions import NOWHERE
from alerts.domain.watch import Watch
from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 30.0


class ExpirySweep:
    """Looks for alerts that ticks have passed."""

    def __init__(self, watch: Watch, store: AlertStore, clock: Clock) -> None:
        self._watch = watch
        self._store = store
        self._clock = clock
        self._swept = NOWHERE

    async def sweep(self) -> None:
        """End every armed alert that ticks have passed; nothing is read while no tick comes.

        Raises:
            DatabaseUnavailable: what is left ends with the next sweep.
        """
        evaluated = self._watch.evaluated
        if evaluated == self._swept:
            return
        was_settled = self._watch.backlog == 0
        async for portion in self._store.overdue(self._watch.evaluated_at):
            ended = [alert for alert in portion if self._watch.has_passed(alert)]
            if not ended:
                continue
            await self._store.expire(ended)
            for alert in ended:
                self._watch.forget(alert)
            log.info("alerts expired", extra={"alerts": len(ended)})
        if was_settled:
            self._swept = evaluated

    async def run(self) -> None:
        """Sweep every half minute until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_EVERY_SECONDS)
            try:
                await self.sweep()
            except DatabaseUnavailable as error:
                log.debug("alerts not swept", extra={"reason": error.reason})
            except Exception:
                log.exception("alerts not swept")
