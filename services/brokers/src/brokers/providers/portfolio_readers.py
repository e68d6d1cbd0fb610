"""Asks the brokers what users hold, each time by one job in a child."""

import asyncio
import logging
from collections.abc import Callable

from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerAnswerInvalid
from brokers.domain.rows import MAX_ROWS, BrokerRows
from brokers.domain.syncs import SyncOrder
from brokers.providers.breeze import portfolio_parse as breeze
from brokers.providers.breeze.prices import Directories
from brokers.providers.children.nursery import Nursery
from brokers.providers.children.refusals import ChildRefused, broker_error
from brokers.providers.children.wire import JSON
from brokers.providers.fields import AnswerUnreadable
from brokers.providers.kite import portfolio_parse as kite
from brokers.providers.roots import VendorRoots

log = logging.getLogger(__name__)

# One call of an SDK; a job makes up to five, within its own deadline.
CALL_TIMEOUT_SECONDS = 7.0


class PortfolioJobs:
    """Runs jobs that spend an order's credentials.

    Args:
        nursery: runs them.
        roots: says where the brokers are.
        deadline_seconds: when a job's child is killed.
    """

    def __init__(self, nursery: Nursery, roots: VendorRoots, *, deadline_seconds: float) -> None:
        self._nursery = nursery
        self._roots = roots
        self._deadline_seconds = deadline_seconds

    def root_url(self, order: SyncOrder) -> str | None:
        """Return where an order goes; None for ICICI's own hosts."""
        return self._roots.of(order.broker, is_simulated=order.is_simulated)

    async def rows(self, job: str, order: SyncOrder, parse: Callable[[JSON], BrokerRows]) -> BrokerRows:
        """Run a job and parse what it answers.

        Raises:
            ServiceError: one of `brokers.domain.errors`.
        """
        secrets = {field.value: secret for field, secret in order.credentials.items()}
        parameters = {"root_url": self.root_url(order), "timeout_seconds": CALL_TIMEOUT_SECONDS}
        try:
            answer = await self._nursery.run(
                job, secrets=secrets, parameters=parameters, deadline_seconds=self._deadline_seconds
            )
        except ChildRefused as refused:
            raise broker_error(order.broker, refused) from None
        return await _parsed(order.broker, answer, parse)


class KiteReader:
    """Reads portfolios from Zerodha."""

    def __init__(self, jobs: PortfolioJobs) -> None:
        self._jobs = jobs

    async def read(self, order: SyncOrder) -> BrokerRows:
        """Spend the order's request token and return all rows.

        Raises:
            ServiceError: one of `brokers.domain.errors`.
        """
        return await self._jobs.rows("kite_portfolio", order, kite.parse_portfolio)


class BreezeReader:
    """Reads portfolios from ICICI Direct."""

    def __init__(self, jobs: PortfolioJobs, directories: Directories) -> None:
        self._jobs = jobs
        self._directories = directories

    async def read(self, order: SyncOrder) -> BrokerRows:
        """Spend the order's session code and return all rows.

        Raises:
            ServiceError: one of `brokers.domain.errors`.
        """
        # First what needs no code: rows are as old as the answers, not as the list that explains them.
        directory = await self._directories.directory(self._jobs.root_url(order))
        return await self._jobs.rows(
            "breeze_portfolio", order, lambda answer: breeze.parse_portfolio(answer, directory)
        )


async def _parsed(broker: Broker, answer: JSON, parse: Callable[[JSON], BrokerRows]) -> BrokerRows:
    """Parse beside the event loop: thousands of rows take a tenth of a second."""
    try:
        rows = await asyncio.to_thread(parse, answer)
    except AnswerUnreadable as unreadable:
        log.warning("broker's answer unreadable", extra={"broker": broker.value, "problem": str(unreadable)})
        raise BrokerAnswerInvalid(broker) from None
    if max(len(rows.holdings), len(rows.positions)) > MAX_ROWS:
        log.warning("broker's answer too long", extra={"broker": broker.value})
        raise BrokerAnswerInvalid(broker)
    return rows
