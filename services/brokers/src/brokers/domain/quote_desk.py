"""Live prices over the server-wide sessions, within what the brokers allow: callers who ask at once share calls."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from brokers.domain.breaker import CircuitBreaker
from brokers.domain.brokers import Broker
from brokers.domain.errors import (
    BrokerTokenInvalid,
    BrokerUnavailable,
    BudgetSpent,
    SessionInactive,
    TooManyInstruments,
)
from brokers.domain.ports import Budget, QuoteVendor
from brokers.domain.quotes import BrokerQuote
from brokers.domain.sessions import ActiveSession, SessionBook
from chassis.clock import Clock
from chassis.errors import ServiceError
from chassis.tasks import end

MAX_INSTRUMENTS = 500
LONGEST_WAIT_SECONDS = 2.5
MARGIN_SECONDS = 0.05
MAX_BOARDING = 5
TRIES = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How a broker is asked.

    Attributes:
        batch: how many instruments are asked for in one go.
        is_call_each: says that each instrument of a batch is a call of its own.
        keep_seconds: how long an answer is given to others who ask.
    """

    batch: int
    is_call_each: bool
    keep_seconds: float


PACES = {
    Broker.ZERODHA: Pace(batch=500, is_call_each=False, keep_seconds=1.0),
    # A stock costs a call of 100 a minute: what is asked for all the time is asked of ICICI every ten seconds.
    Broker.ICICI: Pace(batch=20, is_call_each=True, keep_seconds=10.0),
}


class _Flight:
    """A batch on its way: instruments board until the broker is asked for them."""

    def __init__(self) -> None:
        self.instruments: list[str] = []
        self.task: asyncio.Task[Mapping[str, BrokerQuote]] | None = None


class BrokerDesk:
    """One broker's prices. Calls are made one after the other; who asks while one waits for its time boards it.

    Args:
        broker: who is asked.
        vendor: asks it.
        book: has the session, and hears of a refused one.
        budget: is shared by all replicas.
        clock: measures ages and waits.
    """

    def __init__(self, broker: Broker, vendor: QuoteVendor, *, book: SessionBook, budget: Budget, clock: Clock) -> None:
        self._broker = broker
        self._pace = PACES[broker]
        self._vendor = vendor
        self._book = book
        self._budget = budget
        self._clock = clock
        self._breaker = CircuitBreaker(clock)
        self._turn = asyncio.Lock()
        self._kept: dict[str, tuple[float, BrokerQuote | None]] = {}
        self._boarding: list[_Flight] = []
        self._flights: dict[str, asyncio.Task[Mapping[str, BrokerQuote]]] = {}

    @property
    def is_resting(self) -> bool:
        """Say whether the broker is left alone because it kept failing."""
        return self._breaker.wait_seconds() > 0

    async def quotes(self, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """Return the prices of those the broker knows; those beyond its budget are left out while there are others.

        Raises:
            SessionInactive: there is no session to ask over.
            BudgetSpent: nothing can be asked for now.
            ServiceError: another of `brokers.domain.errors` when the broker fails.
        """
        self._book.for_prices(self._broker)
        known = await self._vendor.known(tuple(dict.fromkeys(instruments)))
        kept = self._fresh(known)
        missing = [each for each in known if each not in kept]
        flights = self._board(missing)
        found = {each: quote for each, quote in kept.items() if quote is not None} | await self._answers(flights)
        if missing and not flights and not found:
            raise BudgetSpent(self._broker, LONGEST_WAIT_SECONDS)
        return {each: found[each] for each in known if each in found}

    async def _answers(self, flights: set["asyncio.Task[Mapping[str, BrokerQuote]]"]) -> dict[str, BrokerQuote]:
        # A flight is a task of its own: whoever stops waiting cancels nobody else's answer.
        outcomes = await asyncio.gather(*(asyncio.shield(flight) for flight in flights), return_exceptions=True)
        answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        for failure in (outcome for outcome in outcomes if isinstance(outcome, BaseException)):
            if not answers or not isinstance(failure, BudgetSpent):
                raise failure
        return {each: quote for answer in answers for each, quote in answer.items()}

    async def finish(self) -> None:
        """Give up what is on its way."""
        tasks = set(self._flights.values())
        await end(*tasks)

    def _fresh(self, instruments: Sequence[str]) -> dict[str, BrokerQuote | None]:
        oldest = self._clock.monotonic() - self._pace.keep_seconds
        self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > oldest}
        return {each: self._kept[each][1] for each in instruments if each in self._kept}

    def _board(self, instruments: Sequence[str]) -> set["asyncio.Task[Mapping[str, BrokerQuote]]"]:
        """Give each instrument a place in a flight, as far as there are places; return the flights."""
        for instrument in instruments:
            flight = None if instrument in self._flights else self._open_flight()
            if flight is not None and flight.task is not None:
                flight.instruments.append(instrument)
                self._flights[instrument] = flight.task
        return {self._flights[each] for each in instruments if each in self._flights}

    def _open_flight(self) -> _Flight | None:
        """Return the first flight with a free place; None when too many wait already."""
        for flight in self._boarding:
            if len(flight.instruments) < self._pace.batch:
                return flight
        if len(self._boarding) == MAX_BOARDING:
            return None
        flight = _Flight()
        flight.task = asyncio.create_task(self._fly(flight))
        flight.task.add_done_callback(self._land)
        self._boarding.append(flight)
        return flight

    def _land(self, task: "asyncio.Task[Mapping[str, BrokerQuote]]") -> None:
        self._flights = {each: flight for each, flight in self._flights.items() if flight is not task}
        with suppress(asyncio.CancelledError):
            task.exception()  # asked for, so that a failure nobody waits for any more is not complained about

    async def _fly(self, flight: _Flight) -> Mapping[str, BrokerQuote]:
        async with self._turn:
            try:
                self._require_rested()
                await self._wait_for_budget()
            finally:
                self._boarding.remove(flight)
            return await self._ask(flight.instruments)

    def _require_rested(self) -> None:
        rest = self._breaker.wait_seconds()
        if rest:
            error = BrokerUnavailable(self._broker)
            error.retry_after_seconds = rest
            raise error

    async def _wait_for_budget(self) -> None:
        wait = await self._budget.wait_seconds(self._broker)
        if wait > LONGEST_WAIT_SECONDS:
            raise BudgetSpent(self._broker, wait)
        if wait:
            await self._clock.sleep(wait + MARGIN_SECONDS)

    async def _ask(self, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        asked = await self._within_budget(instruments)
        # The wait may have outlived the session.
        session = self._book.for_prices(self._broker)
        quotes = await self._call(session, asked)
        now = self._clock.monotonic()
        self._kept |= {each: (now, quotes.get(each)) for each in asked}
        return quotes

    async def _within_budget(self, instruments: Sequence[str]) -> Sequence[str]:
        """Take what the question costs out of the budget; return what may be asked for."""
        for _ in range(TRIES):  # another replica may have been faster
            granted = await self._budget.take(self._broker, len(instruments) if self._pace.is_call_each else 1)
            if granted:
                return instruments[:granted] if self._pace.is_call_each else instruments
            await self._wait_for_budget()
        raise BudgetSpent(self._broker, LONGEST_WAIT_SECONDS)

    async def _call(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        try:
            quotes = await self._vendor.quotes(session, instruments)
        except BrokerTokenInvalid as error:
            self._book.refuse(session)
            raise SessionInactive(self._broker) from error
        except ServiceError:
            self._breaker.note_failure()
            raise
        self._breaker.note_success()
        return quotes


class QuoteDesk:
    """All brokers' prices."""

    def __init__(self, desks: Mapping[Broker, BrokerDesk]) -> None:
        self._desks = desks

    async def quotes(self, broker: Broker, instruments: Sequence[str]) -> Sequence[BrokerQuote]:
        """Return the prices of those the broker knows, in the order asked.

        Raises:
            TooManyInstruments: more than 500 were asked for.
            ServiceError: as `BrokerDesk.quotes` does.
        """
        if len(instruments) > MAX_INSTRUMENTS:
            raise TooManyInstruments(len(instruments), MAX_INSTRUMENTS)
        found = await self._desks[broker].quotes(instruments)
        return [found[each] for each in instruments if each in found]

    async def finish(self) -> None:
        """Give up what is on its way."""
        for desk in self._desks.values():
            await desk.finish()
