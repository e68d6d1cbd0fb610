"""Quotes from several sources in order: the first that has an instrument and answers is believed.

A source that fails is passed over, and soon left alone by its circuit breaker. What it last answered is served, marked
stale, for a while. Real and simulated sources never stand in one list, so that nothing real falls back to a made-up
price. What may not be asked often answers from what it said before, as long as `Reuse` allows.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from chassis.clock import Clock
from market.domain.answers import Answer
from market.domain.capabilities import Capability, ManyQuotes, NothingKnown
from market.domain.flights import Flights
from market.domain.guards import SourceGuard
from market.domain.instruments import Instrument
from market.domain.ports import QuoteSource, SharedShelf
from market.domain.quotes import Quote
from market.domain.reuse import Reuse
from market.domain.source_failures import SILENT, SourceFailed, SourceRefused, SourcesMixed, SourcesUnavailable

__all__ = [
    "KEEP_SECONDS",
    "SILENT",
    "TIMEOUT_SECONDS",
    "QuoteSources",
    "QuotesOf",
    "SourceFailed",
    "SourceRefused",
    "SourcesMixed",
    "SourcesUnavailable",
]

TIMEOUT_SECONDS = 2.0
KEEP_SECONDS = 15 * 60.0
# A replica that has looked for an instrument's quote in the shared cache does not look again so soon.
LOOK_AGAIN_SECONDS = 1.0

Keep = Callable[[Mapping[str, Quote]], Awaitable[None]]


class QuotesOf:
    """A source of many capabilities as a source of quotes.

    Args:
        source: who is asked; it has QUOTES.
        known: the instruments there are, of which it has those that it covers.
        answers_in_bulk: whether hundreds of instruments cost it what one costs.
    """

    def __init__(self, source: ManyQuotes, known: Iterable[Instrument], *, answers_in_bulk: bool) -> None:
        self.name = source.name
        self.is_simulated = source.is_simulated
        self.answers_in_bulk = answers_in_bulk
        self._source = source
        self._instruments = [each for each in known if source.covers(Capability.QUOTES, each)]

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument the source has."""
        return self._instruments

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; an instrument without a price is left out."""
        try:
            return await self._source.quotes(instruments)
        except NothingKnown:
            return {}


class GuardedSource:
    """A source behind a circuit breaker and a timeout; callers who ask for the same instrument share one call.

    Args:
        source: who is asked.
        guard: its circuit breakers, perhaps shared with what else it is asked.
        timeout_seconds: how long one call may take.
        keep: takes in what is answered, whether or not somebody still waits for it.
    """

    def __init__(self, source: QuoteSource, guard: SourceGuard, *, timeout_seconds: float, keep: Keep) -> None:
        self.name = source.name
        self.answers_in_bulk = source.answers_in_bulk
        self._source = source
        self._covered = frozenset(each.id for each in source.instruments())
        self._guard = guard
        self._timeout_seconds = timeout_seconds
        self._keep = keep
        self._flights: Flights[Quote] = Flights()

    @property
    def is_failing(self) -> bool:
        """Say whether the source is being left alone."""
        return self._guard.is_failing

    def covers(self, instrument: Instrument) -> bool:
        """Say whether the source has the instrument."""
        return instrument.id in self._covered

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id.

        Raises:
            SourceFailed: it did not answer in time, failed, or is being left alone.
        """
        by_id = {each.id: each for each in instruments}
        if self._flights.missing(by_id):
            self._guard.admit(Capability.QUOTES)
        return await self._flights.fetch(by_id, lambda missing: self._fetch([by_id[each] for each in missing]))

    async def _fetch(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        answer = await self._guard.ask(
            Capability.QUOTES, lambda: self._source.quotes(instruments), seconds=self._timeout_seconds
        )
        await self._keep(answer)
        return answer


class QuoteSources:
    """All sources of quotes, in the order they are preferred.

    Args:
        sources: at least one; all real or all simulated.
        clock: measures how old an answer is.
        timeout_seconds: how long one source may take.
        keep_seconds: how long an answer stands in for a source that fails.
        reuse: says when an answer is given again without asking; None asks always.
        guards: circuit breakers by source that are shared with what else sources are asked; others get their own.
        shared: what replicas keep together; only real prices are, and only where answers are given again.

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
        guards: Mapping[str, SourceGuard] | None = None,
        shared: SharedShelf[Quote] | None = None,
    ) -> None:
        if len({source.is_simulated for source in sources}) > 1:
            raise SourcesMixed([source.name for source in sources])
        known = guards or {}
        self._sources = [
            GuardedSource(
                source,
                known.get(source.name) or SourceGuard(source.name, clock),
                timeout_seconds=timeout_seconds,
                keep=self._keep,
            )
            for source in sources
        ]
        is_shared = reuse is not None and not any(source.is_simulated for source in sources)
        self._shared = shared if is_shared else None
        self._names = frozenset(source.name for source in sources)
        self._reads: Flights[Quote] = Flights()
        self._look_again_at: dict[str, float] = {}
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

    def age_seconds(self, instrument: Instrument) -> float:
        """Return how long ago the newest answer about an instrument came; infinity when none did."""
        kept = self._kept.get(instrument.id)
        return math.inf if kept is None else self._clock.monotonic() - kept[0]

    async def latest(self, instruments: Sequence[Instrument], *, in_bulk: bool = False) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; an instrument that no source has a price of is left out.

        Args:
            instruments: what is wanted.
            in_bulk: asks only the sources that can be asked for hundreds again and again.

        Raises:
            SourcesUnavailable: there is no quote at all, because sources fail.
        """
        found = self._reusable(instruments)
        if missing := [each for each in instruments if each.id not in found]:
            await self._look_up(missing)
            # Meanwhile another question may have been answered as well.
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

    async def _keep(self, quotes: Mapping[str, Quote]) -> None:
        answered_at = self._clock.monotonic()
        self._kept |= {instrument: (answered_at, quote) for instrument, quote in quotes.items()}
        if self._shared is None or not quotes:
            return
        now = self._clock.now()
        until = now + timedelta(seconds=self._keep_seconds)
        answers = {
            instrument: Answer(quote, quote.provenance.source, answered_at=now, serves_until=until, is_simulated=False)
            for instrument, quote in quotes.items()
        }
        await self._shared.keep(answers, ttl_seconds=self._keep_seconds)

    async def _look_up(self, instruments: Iterable[Instrument]) -> None:
        """Take over what other replicas were answered."""
        now = self._clock.monotonic()
        due = {each.id: each for each in instruments if now >= self._look_again_at.get(each.id, now)}
        if self._shared is None or not due:
            return
        shared = self._shared
        await self._reads.fetch(due, lambda missing: self._read(shared, [due[each] for each in missing]))

    async def _read(self, shared: SharedShelf[Quote], instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        by_id = {each.id: each for each in instruments}
        answers = await shared.read(by_id)
        monotonic, now = self._clock.monotonic(), self._clock.now()
        self._look_again_at |= dict.fromkeys(by_id, monotonic + LOOK_AGAIN_SECONDS)
        taken: dict[str, tuple[float, Quote]] = {}
        for instrument, answer in answers.items():
            answered_at = monotonic - max(0.0, (now - answer.answered_at).total_seconds())
            is_newer = instrument not in self._kept or self._kept[instrument][0] < answered_at
            if is_newer and answer.is_of(self._names, now):
                # The other replica's directory may call the instrument something else.
                taken[instrument] = (answered_at, replace(answer.value, instrument=by_id[instrument]))
        self._kept |= taken
        return {instrument: quote for instrument, (_, quote) in taken.items()}

    def _stand_ins(self, instruments: Iterable[str]) -> dict[str, Quote]:
        oldest = self._clock.monotonic() - self._keep_seconds
        kept = {each: self._kept[each] for each in instruments if each in self._kept}
        return {
            instrument: quote.gone_stale() for instrument, (answered_at, quote) in kept.items() if answered_at >= oldest
        }
