"""Background tasks that end when they are told to."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)

CANCEL_AGAIN_SECONDS = 3.0


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait for their ends, whatever those are.

    A task that goes on after three seconds is cancelled again: until Python 3.12 `asyncio.wait_for`, which nats-py uses
    for everything, loses a cancellation that comes at the moment of the answer.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
    # Their exceptions are theirs: asked for once, asyncio doesn't complain that nobody did.
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run loops in the background until the block is left; then cancel them and wait for their ends.

    One that fails is logged at once and stays ended; the others go on.
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        await end(*tasks)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background loop failed", exc_info=error)
