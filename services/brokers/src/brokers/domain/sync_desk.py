"""Takes syncs: one at a time for a user and broker, few at once for all, and no code spent in vain."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from brokers.domain.breaker import CircuitBreaker
from brokers.domain.brokers import Broker
from brokers.domain.errors import (
    DOWN_RETRY_SECONDS,
    BrokerTimedOut,
    BrokerUnavailable,
    SandboxUnavailable,
    SyncRunning,
)
from brokers.domain.lanes import Lanes
from brokers.domain.ports import PortfolioReader, RowStore
from brokers.domain.rows import BrokerRows
from brokers.domain.syncs import Sync, SyncedRows, SyncOrder
from chassis.clock import Clock
from chassis.errors import ServiceError

log = logging.getLogger(__name__)


class SyncDesk:
    """Asks brokers what users hold and hands it to portfolio.

    Args:
        readers: ask, by broker.
        store: is portfolio.
        lanes: say who may ask now.
        clock: tells when.
        new_id: makes a sync's id.
    """

    def __init__(
        self,
        readers: Mapping[Broker, PortfolioReader],
        store: RowStore,
        *,
        lanes: Lanes,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._readers = readers
        self._store = store
        self._lanes = lanes
        self._clock = clock
        self._new_id = new_id
        self._running: set[tuple[str, Broker]] = set()
        # The sandbox's failures are not the broker's.
        self._breakers: defaultdict[tuple[Broker, bool], CircuitBreaker] = defaultdict(lambda: CircuitBreaker(clock))

    def is_resting(self, broker: Broker) -> bool:
        """Say whether a broker, not its sandbox, is left alone because it kept people waiting."""
        return self._breakers[broker, False].wait_seconds() > 0

    async def sync(self, order: SyncOrder) -> Sync:
        """Sync a user with a broker; whoever leaves takes the sync along, and a failed one changes nothing.

        Raises:
            SyncRunning: one of the same user and broker is under way.
            SyncQueueFull: too many wait.
            PortfolioUnavailable: there is nobody to keep the rows.
            SyncSuperseded: a later one, or a deletion, is already in.
            ServiceError: another one of `brokers.domain.errors` when the broker refused or did not answer.
        """
        # Not when it is its turn: what is deleted while it waits stays deleted.
        began, started_at = self._clock.monotonic(), self._clock.now()
        try:
            async with self._alone(order):
                rows = await self._ask(order, started_at)
                counts = await self._store.replace(rows)
        except ServiceError as error:
            log.warning("sync failed", extra={"broker": order.broker.value, "reason": error.reason})
            raise
        finally:
            order.forget_credentials()
        log.info(
            "sync finished",
            extra={
                "broker": order.broker.value,
                "sync_id": rows.sync_id,
                "holdings": counts.holdings,
                "positions": counts.positions,
                "is_simulated": order.is_simulated,
                "seconds": round(self._clock.monotonic() - began, 3),
            },
        )
        return Sync(rows.sync_id, order.broker, rows.synced_at, order.is_simulated, counts)

    @asynccontextmanager
    async def _alone(self, order: SyncOrder) -> AsyncIterator[None]:
        key = (order.user_id, order.broker)
        if key in self._running:
            raise SyncRunning(order.broker)
        self._running.add(key)
        try:
            yield
        finally:
            self._running.discard(key)

    async def _ask(self, order: SyncOrder, started_at: datetime) -> SyncedRows:
        self._require_circuit(order)
        async with self._lanes.place(order.broker):
            # Both may have changed in the queue, and nothing is spent yet.
            self._require_circuit(order)
            await self._store.require_reachable()
            rows = await self._read(order)
            synced_at = self._clock.now()
        order.forget_credentials()
        return SyncedRows(
            sync_id=self._new_id(),
            user_id=order.user_id,
            broker=order.broker,
            started_at=started_at,
            synced_at=synced_at,
            is_simulated=order.is_simulated,
            rows=rows,
        )

    def _require_circuit(self, order: SyncOrder) -> None:
        wait_seconds = self._breaker(order).wait_seconds()
        if wait_seconds > 0:
            raise _unavailable(order, retry_after_seconds=wait_seconds)

    async def _read(self, order: SyncOrder) -> BrokerRows:
        """Ask the broker; one that lets several in a row wait is left alone for a while: nobody queues for it then."""
        breaker = self._breaker(order)
        try:
            rows = await self._readers[order.broker].read(order)
        except BrokerTimedOut:
            breaker.note_failure()
            raise
        except BrokerUnavailable as error:
            breaker.note_success()
            raise _unavailable(order, retry_after_seconds=error.retry_after_seconds or DOWN_RETRY_SECONDS) from error
        except ServiceError:
            breaker.note_success()
            raise
        breaker.note_success()
        return rows

    def _breaker(self, order: SyncOrder) -> CircuitBreaker:
        return self._breakers[order.broker, order.is_simulated]


def _unavailable(order: SyncOrder, *, retry_after_seconds: float) -> BrokerUnavailable:
    kind = SandboxUnavailable if order.is_simulated else BrokerUnavailable
    return kind(order.broker, retry_after_seconds=retry_after_seconds)
