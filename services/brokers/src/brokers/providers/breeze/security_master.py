"""ICICI's list of securities: fetched by a child on first use, kept for a day, done without when it is not there."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from brokers.domain.isins import Directory, NoDirectory, Security, SecurityDirectory
from brokers.providers.children.nursery import Nursery
from brokers.providers.children.refusals import ChildRefused
from brokers.providers.children.wire import JSON
from chassis.clock import Clock
from chassis.tasks import end

log = logging.getLogger(__name__)

KEEP_SECONDS = 24 * 3600.0
RETRY_SECONDS = 300.0
DEADLINE_SECONDS = 15.0
# A sync waits no longer for a list that only makes its rows nicer; the download goes on for the next one.
WAIT_SECONDS = 5.0
FIELDS = 4


@dataclass(slots=True)
class _Shelf:
    """What is kept of one address."""

    directory: SecurityDirectory
    due_at: float
    fetching: "asyncio.Task[None] | None" = None


class SecurityMaster:
    """Keeps the list of each address, one download for all who ask at once.

    Args:
        nursery: runs the download.
        clock: says how old a list is.
    """

    def __init__(self, nursery: Nursery, clock: Clock) -> None:
        self._nursery = nursery
        self._clock = clock
        self._shelves: dict[str | None, _Shelf] = {}

    async def directory(self, root_url: str | None) -> SecurityDirectory:
        """Return the list of an address: today's, else yesterday's, else one that knows nothing."""
        shelf = self._shelves.setdefault(root_url, _Shelf(NoDirectory(), due_at=self._clock.monotonic()))
        if shelf.fetching is None and self._clock.monotonic() >= shelf.due_at:
            shelf.fetching = asyncio.create_task(self._fetch(root_url, shelf))
        if shelf.fetching is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(shelf.fetching), WAIT_SECONDS)
        return shelf.directory

    async def finish(self) -> None:
        """Give up the downloads that are under way."""
        tasks = [shelf.fetching for shelf in self._shelves.values() if shelf.fetching is not None]
        await end(*tasks)

    async def _fetch(self, root_url: str | None, shelf: _Shelf) -> None:
        parameters = {"root_url": root_url, "timeout_seconds": WAIT_SECONDS}
        try:
            rows = await self._nursery.run(
                "breeze_security_master", secrets={}, parameters=parameters, deadline_seconds=DEADLINE_SECONDS
            )
            shelf.directory = await asyncio.to_thread(_directory, rows)
            shelf.due_at = self._clock.monotonic() + KEEP_SECONDS
            log.info("security master read", extra={"securities": len(rows)})
        except (ChildRefused, TypeError, ValueError) as error:
            shelf.due_at = self._clock.monotonic() + RETRY_SECONDS
            log.warning("security master unavailable", extra={"error": type(error).__name__})
        finally:
            shelf.fetching = None


def _directory(rows: JSON) -> Directory:
    return Directory(Security(*(str(part) for part in row)) for row in rows if len(row) == FIELDS)
