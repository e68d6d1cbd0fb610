"""Tells the other replicas what was committed here, and hears what they tell, on core NATS.

Nothing rests on a message: what is to be taken up is found in the database every second, what is watched for though it
was replaced or deleted fires nothing, and free shards are found when the leases are renewed.
"""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from nats.aio.msg import Msg

from alerts.domain.alerts import AlertType
from alerts.domain.matcher import Entry
from alerts.domain.ticks import SHARDS
from alerts.domain.watches import Watches
from chassis.bus import Bus
from chassis.errors import BusUnavailable

log = logging.getLogger(__name__)

CHANGED = "control.alerts.changed"
RELEASED = "control.alerts.released"
FORGOTTEN_PER_MESSAGE = 500
MAX_BYTES = 256 * 1024


class ChangeUnreadable(ValueError):
    """The bytes are not what `written` writes."""


def written(shards: Collection[int], forgotten: Sequence[Entry]) -> bytes:
    """Return what changed as a message: shards to look at, and armings to forget."""
    entries = [[each.alert_id, each.generation, each.instrument, each.type.value, each.threshold] for each in forgotten]
    return json.dumps({"shards": sorted(shards), "forgotten": entries}).encode()


def read(payload: bytes) -> tuple[Collection[int], Sequence[Entry]]:
    """Read what `written` wrote.

    Raises:
        ChangeUnreadable: it is something else.
    """
    if len(payload) > MAX_BYTES:
        raise ChangeUnreadable("too long")
    try:
        message = json.loads(payload)
        shards = {shard for shard in message["shards"] if shard in range(SHARDS)}
        return shards, [_entry_of(each) for each in message["forgotten"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ChangeUnreadable(type(error).__name__) from error


def _entry_of(written_entry: Any) -> Entry:
    alert_id, generation, instrument, alert_type, threshold = written_entry
    entry = Entry(int(alert_id), int(generation), str(instrument), AlertType(alert_type), float(threshold), armed=0)
    if not math.isfinite(entry.threshold):
        raise ChangeUnreadable("no price")
    return entry


class Changes:
    """Speaks for this replica and listens to the others; it hears itself, too, which does no harm."""

    def __init__(self, bus: Bus, watches: Watches) -> None:
        """Tell over `bus`, and forget in `watches`."""
        self._bus = bus
        self._watches = watches

    async def changed(self, shards: Collection[int], forgotten: Sequence[Entry]) -> None:
        """Say that alerts of some shards are to be taken up, and that armings were replaced or deleted."""
        for first in range(0, max(len(forgotten), 1), FORGOTTEN_PER_MESSAGE):
            await self._publish(CHANGED, written(shards, forgotten[first : first + FORGOTTEN_PER_MESSAGE]))

    async def released(self) -> None:
        """Say that shards can be taken."""
        await self._publish(RELEASED, b"")

    async def listen(self, *, on_waiting: Callable[[], None], on_released: Callable[[], Awaitable[None]]) -> None:
        """Hear the others from now on.

        Args:
            on_waiting: called when there is something to take up.
            on_released: called when there may be shards to take.
        """

        async def hear_change(message: Msg) -> None:
            self._take(message, on_waiting)

        async def hear_release(_: Msg) -> None:
            await on_released()

        await self._bus.subscribe(CHANGED, hear_change)
        await self._bus.subscribe(RELEASED, hear_release)

    def _take(self, message: Msg, on_waiting: Callable[[], None]) -> None:
        try:
            shards, forgotten = read(message.data)
        except ChangeUnreadable as error:
            log.warning("change unreadable", extra={"problem": str(error)})
            return
        for entry in forgotten:
            self._watches.discard(entry)
        if any(self._watches.of_shard(shard) for shard in shards):
            on_waiting()

    async def _publish(self, subject: str, payload: bytes) -> None:
        try:
            await self._bus.publish(subject, payload)
        except BusUnavailable:
            log.debug("change not told", extra={"subject": subject})
