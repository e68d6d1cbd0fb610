"""How a replay is begun from outside, and how its end is told."""

import logging

from nats.aio.msg import Msg

from bourse.market.v1 import events_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable
from market.domain.ports import Replay
from market.feed.tick_feed import TickFeed

log = logging.getLogger(__name__)

START_SUBJECT = "control.replay.start"
FINISHED_SUBJECT = "events.market.replay_finished"
RETRY_SECONDS = 0.5


class ReplayControl:
    """Starts a held replay on a message, and announces the end of any.

    Args:
        replay: what is played.
        bus: the connection to NATS.
        clock: measures pauses.
        run: names this run of the replay, so that its end is told once.
    """

    def __init__(self, replay: Replay, bus: Bus, clock: Clock, *, run: str) -> None:
        self._replay = replay
        self._bus = bus
        self._clock = clock
        self._run = run

    async def listen(self) -> None:
        """Let a message on `control.replay.start` begin the replay."""
        await self._bus.subscribe(START_SUBJECT, self._start)

    async def announce_end(self, feed: TickFeed) -> None:
        """Wait for the feed's end, then publish `events.market.replay_finished` until it is stored."""
        await feed.finished()
        event = _event(self._replay)
        while not await self._has_announced(event.SerializeToString()):
            await self._clock.sleep(RETRY_SECONDS)
        log.info("replay finished", extra={"bars": event.bars, "ticks": event.ticks})

    async def _has_announced(self, payload: bytes) -> bool:
        try:
            await self._bus.publish_event(FINISHED_SUBJECT, payload, message_id=f"replay_finished:{self._run}")
        except BusUnavailable:
            return False
        return True

    async def _start(self, _: Msg) -> None:
        log.info("replay started")
        self._replay.start()


def _event(replay: Replay) -> events_pb2.ReplayFinished:
    summary = replay.summary
    event = events_pb2.ReplayFinished(bars=summary.bars, ticks=summary.ticks)
    if summary.first_tick_at is not None and summary.last_tick_at is not None:
        event.first_tick_at.FromDatetime(summary.first_tick_at)
        event.last_tick_at.FromDatetime(summary.last_tick_at)
    return event
