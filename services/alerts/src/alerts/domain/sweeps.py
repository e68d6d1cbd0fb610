"""What is done now and then, and again the next time when it could not be."""

import logging
from collections.abc import Awaitable, Callable

from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable

log = logging.getLogger(__name__)


async def sweep_every(seconds: float, sweep: Callable[[], Awaitable[None]], clock: Clock, *, what: str) -> None:
    """Sweep after each pause until cancelled; whatever a sweep raises is logged, and does not end this.

    Args:
        seconds: the pause.
        sweep: does what is due.
        clock: measures the pause.
        what: what is swept, for the log.
    """
    while True:
        await clock.sleep(seconds)
        try:
            await sweep()
        except DatabaseUnavailable as error:
            log.debug("%s not swept", what, extra={"reason": error.reason})
        except Exception:
            log.exception("%s not swept", what)
