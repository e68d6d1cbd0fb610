"""Quotes from several sources in order: the first that has an instrument and answers is believed.

A source that fails is passed over, and soon left alone by its circuit breaker. What it last answered is served, marked
stale, for a while. Real and simulated sources never stand in one list, so that nothing real falls back to a made-up
price. What may not be asked often answers from what it said before, as long as `Reuse` allows.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from market.domain.breaker import REST_SECONDS, CircuitBreaker
from market.domain.instruments import Instrument
from market.domain.ports import QuoteSource
from market.domain.quotes import Quote
from market.domain.reuse import Reuse

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
KEEP_SECONDS = 15 * 60.0
SILENT = "did not answer"


class SourcesMixed(ValueError):
    """Real and simulated sources were put in one list."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"real and simulated sources cannot stand in for each other: {', '.join(names)}")


class SourcesUnavailable(ServiceError):
    """No source that has the instruments answers."""

    code = Code.UNAVAILABLE
    reason = "SOURCES_UNAVAILABLE"
    retry_after_seconds = REST_SECONDS

    def __init__(self, failures: Sequence["SourceFailed"]) -> None:
        self.failures = tuple(failures)
        told = ", ".join(f"{each.source} {each.problem}" for each in failures)
        super().__init__(f"no source of prices is answering: {told}; try again shortly")


class SourceRefused(Exception):
    """A source says why it does not answer.

    Attributes:
        problem: the rest of a sentence that begins with the source's name, fit for callers.
        retry_after_seconds: when asking again may succeed; None when it does not say.
    """

    def __init__(self, problem: str, *, retry_after_seconds: float | None = None) -> None:
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        super().__init__(problem)


class SourceFailed(Exception):
    """One source did not answer, or is being left alone."""

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"the source {source} {problem}")


class GuardedSource:
    """A source behind a circuit breaker and a timeout; callers who ask for the same instrument share one call."""

    def __init__(self, source: QuoteSource, clock: Clock, *, timeout_seconds: float) -> None:
        self.name = source.name
        self.answers_in_bulk = source.answers_in_bulk
        self._source = source
        self._covered = frozenset(each.id for each in source.instruments())
        self._breaker = CircuitBreaker(clock)
        self._timeout_seconds = timeout_seconds
        self._problem = SILENT
        self._flights: dict[str, asyncio.Task[Mapping[str, Quote]]] = {}

    @property
    def is_failing(self) -> bool:
        """Say whether the source is being left alone."""
        return self._breaker.is_open

    def covers(self, instrument: Instrument) -> bool:
        """Say whether the source has the instrument."""
        return instrument.id in self._covered

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id.

        Raises:
            SourceFailed: it did not answer in time, failed, or is being left alone.
        """
        self._take_off([each for each in instruments if each.id not in self._flights])
        # A flight is a task of its own: whoever stops waiting cancels nobody else's answer.
        flights = {self._flights[each.id] for each in instruments}
        answers = await asyncio.gather(*(asyncio.shield(flight) for flight in flights))
        return {instrument: quote for answer in answers for instrument, quote in answer.items()}

    def _take_off(self, instruments: Sequence[Instrument]) -> None:
        if not instruments:
            return
        if not self._breaker.allows():
            raise SourceFailed(self.name, self._problem)
        flight = asyncio.create_task(self._fetch(instruments))
        self._flights |= dict.fromkeys((each.id for each in instruments), flight)
        flight.add_done_callback(self._land)

    def _land(self, flight: "asyncio.Task[Mapping[str, Quote]]") -> None:
        self._flights = {instrument: each for instrument, each in self._flights.items() if each is not flight}
        with suppress(asyncio.CancelledError):
            flight.exception()  # asked for, so that a failure nobody waits for any more is not complained about

    async def _fetch(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._source.quotes(instruments)
        except Exception as error:
            refusal = error if isinstance(error, SourceRefused) else SourceRefused(SILENT)
            self._problem = refusal.problem
            self._breaker.note_failure(refusal.retry_after_seconds)
            cause = {"error": type(error).__name__, "problem": refusal.problem}
            log.warning("source failed", extra={"source": self.name, **cause})
            raise SourceFailed(self.name, refusal.problem) from error
        self._breaker.note_success()
        return answer


class QuoteSources:
    """All sources of quotes, in the order they are preferred.

    Args:
        sources: at least one; all real or all simulated.
        clock: measures how old an answer is.
        timeout_seconds: how long one source may take.
        keep_seconds: how long an answer stands in for a source that fails.
        reuse: says when an answer is given again without asking; None asks always.

    Raises:
        SourcesMixed: some are real, some simulated.
    """

    def __init__(
        self,
        sources: Sequence[QuoteSource],
        clock: Clock,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        keep_seconds: float = KEEP_SECONDS,
        reuse: Reuse | None = None,
    ) -> None:
        if len({source.is_simulated for source in sources}) > 1:
            raise SourcesMixed([source.name for source in sources])
        self._sources = [GuardedSource(source, clock, timeout_seconds=timeout_seconds) for source in sources]
        self._clock = clock
        self._keep_seconds = keep_seconds
        self._reuse = reuse
        self._kept: dict[str, tuple[float, Quote]] = {}
        # When a source, by name, said that it has no price of an instrument.
        self._lacking: dict[tuple[str, str], float] = {}

    @property
    def failing(self) -> Sequence[str]:
        """Return the names of the sources that are being left alone."""
        return [source.name for source in self._sources if source.is_failing]

    async def latest(self, instruments: Sequence[Instrument], *, in_bulk: bool = False) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; an instrument that no source has a price of is left out.

        Args:
            instruments: what is wanted.
            in_bulk: asks only the sources that can be asked for hundreds again and again.

        Raises:
            SourcesUnavailable: there is no quote at all, because sources fail.
        """
        found = self._reusable(instruments)
        unanswered: set[str] = set()
        failures: list[SourceFailed] = []
        for source in self._sources:
            if in_bulk and not source.answers_in_bulk:
                continue
            wanted = [each for each in instruments if each.id not in found and self._is_worth_asking(source, each)]
            if not wanted:
                continue
            try:
                answer = await source.quotes(wanted)
            except SourceFailed as failure:
                failures.append(failure)
                unanswered |= {each.id for each in wanted}
            else:
                self._keep(answer.values())
                self._note_lacking(source, [each for each in wanted if each.id not in answer])
                found |= answer
        found |= self._stand_ins(unanswered - found.keys())
        if failures and not found:
            raise SourcesUnavailable(failures)
        return found

    def _reusable(self, instruments: Iterable[Instrument]) -> dict[str, Quote]:
        if self._reuse is None:
            return {}
        now = self._clock.monotonic()
        kept = [self._kept[each.id] for each in instruments if each.id in self._kept]
        again = [self._reuse.again(quote, now - answered_at) for answered_at, quote in kept]
        return {quote.instrument.id: quote for quote in again if quote is not None}

    def _is_worth_asking(self, source: GuardedSource, instrument: Instrument) -> bool:
        """Say whether a source may have a price: one that had none is left alone as long as its answers serve."""
        if not source.covers(instrument):
            return False
        said_at = self._lacking.get((source.name, instrument.id))
        if said_at is None or self._reuse is None:
            return True
        return self._clock.monotonic() - said_at >= self._reuse.seconds_of(source.name)

    def _note_lacking(self, source: GuardedSource, instruments: Iterable[Instrument]) -> None:
        self._lacking |= dict.fromkeys(((source.name, each.id) for each in instruments), self._clock.monotonic())

    def _keep(self, quotes: Iterable[Quote]) -> None:
        now = self._clock.monotonic()
        self._kept |= {quote.instrument.id: (now, quote) for quote in quotes}

    def _stand_ins(self, instruments: Iterable[str]) -> dict[str, Quote]:
        oldest = self._clock.monotonic() - self._keep_seconds
        kept = {each: self._kept[each] for each in instruments if each in self._kept}
        return {
            instrument: quote.gone_stale() for instrument, (answered_at, quote) in kept.items() if answered_at >= oldest
        }
