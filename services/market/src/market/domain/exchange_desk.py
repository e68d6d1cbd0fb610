"""Answers what exchanges there are, when they trade and what they list."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from chassis.tasks import end
from market.domain.exchanges import ExchangeFacts, ExchangeHours, ExchangeList, hours_of
from market.domain.instruments import Instrument, InstrumentDirectory
from market.domain.ports import ExchangeCalendars
from market.domain.sessions import KnownSessions

MAX_EXCHANGES = 10
# Callers of market wait five seconds.
PATIENCE_SECONDS = 3.0


class ExchangesEmpty(ServiceError):
    """No exchange was asked for."""

    code = Code.INVALID_ARGUMENT
    reason = "EXCHANGES_EMPTY"

    def __init__(self) -> None:
        super().__init__("at least one exchange is needed")


class TooManyExchanges(ServiceError):
    """More exchanges were asked for than one answer holds."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_EXCHANGES"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} exchanges were asked for; at most {MAX_EXCHANGES} are answered at once")


@dataclass(frozen=True, slots=True)
class DescribedExchange:
    """An exchange, and how many instruments of the directory it lists."""

    facts: ExchangeFacts
    instruments: int


class ExchangeDesk:
    """Knows the exchanges.

    Args:
        exchanges: all that can be asked about.
        directory: the instruments.
        calendars: when the exchanges trade.
        clock: what the time is.
        patience_seconds: how long calendars that are still being read are waited for.
    """

    def __init__(
        self,
        exchanges: ExchangeList,
        directory: InstrumentDirectory,
        *,
        calendars: ExchangeCalendars,
        clock: Clock,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._exchanges = exchanges
        self._calendars = calendars
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._reading: set[asyncio.Task[KnownSessions]] = set()
        self._counts = Counter(str(each.exchange) for each in directory.instruments)
        self._listed = {each.exchange: _listed(directory, each) for each in exchanges.exchanges}

    def describe(self) -> Sequence[DescribedExchange]:
        """Return every exchange, by name."""
        return [
            DescribedExchange(each, self._counts[each.exchange])
            for each in sorted(self._exchanges.exchanges, key=lambda facts: facts.exchange)
        ]

    async def hours(self, names: Sequence[str]) -> Sequence[ExchangeHours]:
        """Return today's hours of exchanges, in the order asked; of all when none is named.

        An exchange whose calendar takes too long to be read has no hours yet; it goes on being read.

        Raises:
            NoSuchExchange: one of them is none.
        """
        wanted = self._exchanges.find_all(names)
        tasks = [asyncio.create_task(self._calendars.sessions_of_exchange(each)) for each in wanted]
        self._reading.update(tasks)
        for task in tasks:
            task.add_done_callback(self._reading.discard)
        read, _ = await asyncio.wait(tasks, timeout=self._patience_seconds)
        now = self._clock.now()
        return [
            hours_of(each, task.result(), now) if task in read else ExchangeHours(each)
            for each, task in zip(wanted, tasks, strict=True)
        ]

    async def close(self) -> None:
        """Wait for no calendar any more."""
        await end(*self._reading)

    def stocks(self, names: Sequence[str]) -> Mapping[str, Sequence[Instrument]]:
        """Return what up to ten exchanges list, by symbol, under the exchanges' names in the order asked.

        Raises:
            ExchangesEmpty: none is named.
            TooManyExchanges: more are.
            NoSuchExchange: one of them is none.
        """
        if not names:
            raise ExchangesEmpty
        if len(names) > MAX_EXCHANGES:
            raise TooManyExchanges(len(names))
        return {each.exchange: self._listed[each.exchange] for each in self._exchanges.find_all(names)}


def _listed(directory: InstrumentDirectory, exchange: ExchangeFacts) -> Sequence[Instrument]:
    listed = [each for each in directory.instruments if each.exchange == exchange.exchange]
    return sorted(listed, key=lambda instrument: instrument.symbol)
