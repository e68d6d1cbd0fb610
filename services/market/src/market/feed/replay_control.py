"""How a replay is begun from outside, how its end is told, and how replicas that do not lead keep in step."""

import logging

from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from bourse.market.v1 import events_pb2, ticks_pb2
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.errors import BusUnavailable
from market.domain.ports import Leadership, Replay
from market.feed.tick_feed import TickFeed

log = logging.getLogger(__name__)

START_SUBJECT = "control.replay.start"
TICKS_SUBJECT = "ticks.*"
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
        self._is_told = False

    async def listen(self) -> None:
        """Let a message on `control.replay.start` begin the replay."""
        await self._bus.subscribe(START_SUBJECT, self._start)

    async def follow(self, source: str, leadership: Leadership) -> None:
        """Be where the replica is that leads, so as to answer as it does, and to go on where it ends.

        Args:
            source: the source of the ticks that are followed.
            leadership: whether this replica leads, which then follows nobody.
        """

        async def hear(message: Msg) -> None:
            if leadership.epoch is not None:
                return
            try:
                batch = ticks_pb2.TickBatch.FromString(message.data)
            except DecodeError:
                return
            if batch.source == source and batch.ticks:
                self._replay.follow(batch.shard, batch.base_time.ToMicroseconds() + batch.ticks[-1].offset_microseconds)

        async def hear_end(_: Msg) -> None:
            if leadership.epoch is None:
                self._is_told = True
                self._replay.end()

        await self._bus.subscribe(TICKS_SUBJECT, hear)
        await self._bus.subscribe(FINISHED_SUBJECT, hear_end)

    async def announce_end(self, feed: TickFeed) -> None:
        """Wait for the feed's end, then publish `events.market.replay_finished` until it is stored.

        What another replica has told is not told again.
        """
        await feed.finished()
        if self._is_told:
            return
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
