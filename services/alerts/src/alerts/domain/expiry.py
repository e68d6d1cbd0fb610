"""Ends the alerts whose expiry ticks have passed, now and then.

Nothing depends on when it runs: a tick later than its expiry does not fire an alert anyway, which the transaction that
fires it decides. It takes ended alerts from the matcher and settles them in the database.
"""

import logging
from collections.abc import Sequence

from alerts.domain.alerts import Alert
from alerts.domain.leases import Lease
from alerts.domain.ports import AlertStore
from alerts.domain.positions import Position
from alerts.domain.sweeps import sweep_every
from alerts.domain.watches import Watches
from chassis.clock import Clock

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 30.0


class ExpirySweep:
    """Looks for alerts of the shards held here that ticks have passed."""

    def __init__(self, watches: Watches, store: AlertStore, clock: Clock) -> None:
        self._watches = watches
        self._store = store
        self._clock = clock
        self._swept: dict[Lease, Position] = {}

    async def sweep(self) -> None:
        """End every armed alert that ticks have passed; nothing is read while no tick comes.

        Raises:
            DatabaseUnavailable: what is left ends with the next sweep.
        """
        watches = list(self._watches)
        evaluated = {watch.lease: watch.evaluated for watch in watches}
        moment = self._watches.evaluated_at
        if evaluated == self._swept or moment is None:
            return
        is_settled = {watch.lease: watch.backlog == 0 for watch in watches}
        async for portion in self._store.overdue(moment, shards=[lease.shard for lease in evaluated]):
            await self._end(portion)
        self._swept = {lease: position for lease, position in evaluated.items() if is_settled[lease]}

    async def _end(self, overdue: Sequence[Alert]) -> None:
        passed = [(watch, alert) for alert in overdue if (watch := self._watches.of(alert.instrument))]
        ended = [(watch, alert) for watch, alert in passed if watch.has_passed(alert)]
        if not ended:
            return
        await self._store.expire([(watch.lease, alert) for watch, alert in ended])
        for watch, alert in ended:
            watch.forget(alert)
        log.info("alerts expired", extra={"alerts": len(ended)})

    async def run(self) -> None:
        """Sweep every half minute until cancelled."""
        await sweep_every(SWEEP_EVERY_SECONDS, self.sweep, self._clock, what="alerts")
