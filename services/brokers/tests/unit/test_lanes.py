import asyncio
from contextlib import AsyncExitStack

import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import SyncQueueFull
from brokers.domain.lanes import Lanes

ZERODHA, ICICI = Broker.ZERODHA, Broker.ICICI


class Visitor:
    """Holds a place until told to leave."""

    def __init__(self, lanes: Lanes, broker: Broker) -> None:
        self.is_in = False
        self._leaves = asyncio.Event()
        self.task = asyncio.create_task(self._visit(lanes, broker))

    async def _visit(self, lanes: Lanes, broker: Broker) -> None:
        async with lanes.place(broker):
            self.is_in = True
            await self._leaves.wait()

    async def leave(self) -> None:
        self._leaves.set()
        await self.task
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def visitors(lanes: Lanes, *brokers: Broker) -> list[Visitor]:
    come = [Visitor(lanes, broker) for broker in brokers]
    await settle()
    return come


async def test_so_many_run_and_the_others_follow_in_their_order() -> None:
    lanes = Lanes(at_most=2, queue_at_most=5)
    come = await visitors(lanes, ZERODHA, ZERODHA, ZERODHA, ZERODHA)
    assert [visitor.is_in for visitor in come] == [True, True, False, False]
    assert (lanes.running, lanes.waiting) == (2, 2)
    await come[1].leave()
    assert [visitor.is_in for visitor in come] == [True, True, True, False]
    for visitor in (come[0], come[2], come[3]):
        await visitor.leave()
    assert (lanes.running, lanes.waiting) == (0, 0)


async def test_a_broker_never_takes_all_places() -> None:
    lanes = Lanes(at_most=4, queue_at_most=5)
    come = await visitors(lanes, ICICI, ICICI, ICICI, ZERODHA, ZERODHA, ZERODHA)
    assert [visitor.is_in for visitor in come] == [True, True, False, True, True, False]
    # The place goes to the first whose broker has room.
    await come[3].leave()
    assert [visitor.is_in for visitor in come] == [True, True, False, True, True, True]
    for visitor in (*come[:2], come[2], *come[4:]):
        await visitor.leave()


async def test_whoever_finds_the_queue_full_is_refused() -> None:
    lanes = Lanes(at_most=1, queue_at_most=1)
    come = await visitors(lanes, ZERODHA, ZERODHA)
    with pytest.raises(SyncQueueFull):
        async with lanes.place(ZERODHA):
            raise AssertionError
    for visitor in come:
        await visitor.leave()


async def test_a_waiter_who_leaves_is_forgotten() -> None:
    lanes = Lanes(at_most=1, queue_at_most=1)
    first, second = await visitors(lanes, ZERODHA, ZERODHA)
    second.task.cancel()
    await settle()
    assert lanes.waiting == 0
    await first.leave()
    assert lanes.running == 0


async def test_a_waiter_who_leaves_just_as_it_is_let_in_gives_its_place_on() -> None:
    lanes = Lanes(at_most=1, queue_at_most=2)
    async with AsyncExitStack() as first:
        await first.enter_async_context(lanes.place(ZERODHA))
        second, third = await visitors(lanes, ZERODHA, ZERODHA)
        await first.aclose()
        # Nothing has run since: the second has its place and does not know it yet.
        second.task.cancel()
    await settle()
    assert (second.is_in, third.is_in) == (False, True)
    await third.leave()
    assert lanes.running == 0


async def test_a_waiter_who_gives_up_as_a_place_falls_free_fails_nobody_else() -> None:
    lanes = Lanes(at_most=1, queue_at_most=5)
    inside, leaver, patient = await visitors(lanes, ZERODHA, ZERODHA, ZERODHA)
    # Who leaves gets to hand the place on before who gives up has left the queue.
    leaving = asyncio.create_task(inside.leave())
    await asyncio.sleep(0)
    leaver.task.cancel()
    await leaving
    assert patient.is_in
    await patient.leave()
    assert (lanes.running, lanes.waiting) == (0, 0)
