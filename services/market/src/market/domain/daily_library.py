"""Daily bars: what is known from the store, and what is not from the sources, each part asked for once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from chassis.tasks import end
from market.domain.adjustments import unadjusted
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability, NothingKnown, Source
from market.domain.flights import Flights
from market.domain.history import DailyHistory
from market.domain.instruments import Instrument
from market.domain.lives import HISTORY
from market.domain.ports import Calendar, DailyBarRepository
from market.domain.price_changes import years_before
from market.domain.raw_history import Coverage, RawHistory
from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.domain.source_failures import SourcesUnavailable

EARLIEST = date(1970, 1, 1)
# A first question brings so much at once: calls are dear, rows are not, and most later questions are about these.
LEAST_YEARS = 5
# A session without a bar is asked for again for so long after its close; then the instrument didn't trade.
PUBLISHED_WITHIN = timedelta(hours=6)
# So many days before what is missing are asked for again: some sources learn of a split days after it.
TOLD_AGAIN = timedelta(days=7)
STALE_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What one question to a source brought, and how far it reaches together with what the source said before."""

    raw: RawHistory
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whose bars to read, and how far they can be relied on."""

    source: str
    asked_at: datetime
    serves_until: datetime
    is_stale: bool = False


class DailyLibrary:
    """Knows the past of instruments, session by session, in the words of one source at a time.

    Each source's bars are kept apart. The first in order that has the span wanted answers from the store; when none
    has, the sources are asked in order for what they have not said yet. The newest part is asked for again after an
    hour at the earliest, and only when a session has finished that is not known. While sources fail, what one of them
    said within seven days stands in, marked stale. What a simulated source says is not kept, and while the store is
    away the sources are asked each time for all that is wanted.

    Args:
        desk: asks the sources.
        sources: those with daily history, in order.
        store: what they said.
        calendar: when sessions finish.
        clock: what the time is.
    """

    def __init__(
        self,
        desk: AnswerDesk,
        sources: Sequence[Source],
        *,
        store: DailyBarRepository,
        calendar: Calendar,
        clock: Clock,
    ) -> None:
        self._deliveries = desk.answers(Capability.DAILY_HISTORY, None)
        self._sources = [each for each in sources if Capability.DAILY_HISTORY in each.capabilities]
        self._store = store
        self._calendar = calendar
        self._clock = clock
        self._flights: Flights[Answer[RawHistory]] = Flights()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def history(self, instrument: Instrument, first: date, last: date | None = None) -> Answer[RawHistory]:
        """Return what one source says of an instrument, at least from `first` to `last`; it may be more.

        Args:
            instrument: what it is about.
            first: the first session wanted.
            last: the last session wanted; None for the newest. Dividends are adjusted for by the close before them, so
                who adjusts for those wants the newest.

        Raises:
            CapabilityMissing: no source has daily history.
            NoAnswer: none knows the instrument.
            SourcesUnavailable: no source answers, and none has said enough before.
        """
        if any(each.is_simulated for each in self._sources):
            return await self._unkept(instrument, first)
        key = f"{instrument.id}:{first}:{last}"

        async def read(_: Sequence[str]) -> Mapping[str, Answer[RawHistory]]:
            return {key: await self._read(instrument, first, last)}

        try:
            return (await self._flights.fetch([key], read))[key]
        except DatabaseUnavailable:
            return await self._unkept(instrument, first)

    def today(self, instrument: Instrument) -> date:
        """Return the date where an instrument trades."""
        return self._clock.now().astimezone(TIMEZONE_OF_VENUE[venue_of(instrument)]).date()

    async def close(self) -> None:
        """End the questions that are under way."""
        await end(*self._flights.under_way)

    async def _unkept(self, instrument: Instrument, first: date) -> Answer[RawHistory]:
        async def ask(source: Any) -> RawHistory:
            today = self.today(instrument)
            raw = await _said(source, instrument, first, today)
            # Days without a session have no bar of anybody: only who has none of years knows nothing.
            at_least = years_before(today, LEAST_YEARS)
            if not len(raw.bars) and (
                first <= at_least or not len((await _said(source, instrument, at_least, today)).bars)
            ):
                raise NothingKnown
            return raw

        # The desk remembers what it was told, and what is to be kept comes in another form.
        key = f"unkept:{instrument.id}:{first}"
        answer: Answer[RawHistory] = await self._deliveries.one(key, ask, instrument=instrument)
        return answer

    async def _read(self, instrument: Instrument, first: date, last: date | None) -> Answer[RawHistory]:
        standing = self._fresh(instrument, await self._store.coverages(instrument.id), first)
        if standing is None:
            async with self._locks.setdefault(instrument.id, asyncio.Lock()):
                standing = await self._asked(instrument, first)
        return Answer(
            value=await self._store.read(instrument.id, standing.source, first=first, last=last),
            source=standing.source,
            answered_at=standing.asked_at,
            serves_until=standing.serves_until,
            is_simulated=False,
            is_stale=standing.is_stale,
        )

    # --- who has what was asked for

    def _fresh(self, instrument: Instrument, coverages: Mapping[str, Coverage], first: date) -> _Standing | None:
        """Return the first source that has everything from a day on; None when none has."""
        for name, coverage in self._in_order(instrument, coverages):
            if coverage.first <= first and not self._is_due(instrument, coverage):
                return self._standing(instrument, name, coverage)
        return None

    def _stale(self, instrument: Instrument, coverages: Mapping[str, Coverage], first: date) -> _Standing | None:
        """Return the first source that lately had everything from a day on; None when none had."""
        now = self._clock.now()
        for name, coverage in self._in_order(instrument, coverages):
            if coverage.first <= first and now - coverage.asked_at <= STALE_FOR:
                return _Standing(name, coverage.asked_at, serves_until=now, is_stale=True)
        return None

    def _in_order(self, instrument: Instrument, coverages: Mapping[str, Coverage]) -> Sequence[tuple[str, Coverage]]:
        names = [each.name for each in self._sources if each.covers(Capability.DAILY_HISTORY, instrument)]
        return [(name, coverages[name]) for name in names if name in coverages]

    def _standing(self, instrument: Instrument, source: str, coverage: Coverage) -> _Standing:
        """Say how long a source's bars serve: to the end of the session that runs, and an hour at most."""
        now = self._clock.now()
        again = coverage.asked_at + HISTORY
        closes_at = self._calendar.sessions_of(venue_of(instrument)).next_close(now)
        if self._is_complete(instrument, coverage):
            again = max(again, closes_at or now + HISTORY)
        return _Standing(source, coverage.asked_at, serves_until=min(again, now + HISTORY))

    def _is_due(self, instrument: Instrument, coverage: Coverage) -> bool:
        """Say whether the newest part should be asked for again."""
        if self._clock.now() - coverage.asked_at < HISTORY:
            return False
        return not self._is_complete(instrument, coverage)

    def _is_complete(self, instrument: Instrument, coverage: Coverage) -> bool:
        """Say whether every finished session is known; where the calendar does not reach, nobody can."""
        sessions = self._calendar.sessions_of(venue_of(instrument))
        now = self._clock.now()
        finished = sessions.last_finished(now)
        return sessions.knows(now) and finished is not None and finished.date <= coverage.last

    # --- what has to be asked for

    async def _asked(self, instrument: Instrument, first: date) -> _Standing:
        """Ask for what is missing from a day on, and keep it."""
        coverages = await self._store.coverages(instrument.id)
        standing = self._fresh(instrument, coverages, first)
        if standing is not None:
            return standing

        async def ask(source: Any) -> _Delivery:
            return await self._deliver(source, instrument, first, coverages.get(source.name))

        try:
            answer = await self._deliveries.one(f"{instrument.id}:{first}", ask, instrument=instrument)
        except SourcesUnavailable:
            standing = self._stale(instrument, coverages, first)
            if standing is None:
                raise
            return standing
        return await self._kept(instrument, answer)

    async def _kept(self, instrument: Instrument, answer: Answer[_Delivery]) -> _Standing:
        """Store what was brought.

        What can't be stored now is tried again while the answer is remembered; what was stored before does no harm.
        """
        await self._store.append(answer.source, answer.value.raw, answer.value.coverage)
        coverage = (await self._store.coverages(instrument.id))[answer.source]
        return replace(self._standing(instrument, answer.source, coverage), is_stale=answer.is_stale)

    async def _deliver(self, source: Any, instrument: Instrument, first: date, known: Coverage | None) -> _Delivery:
        """Ask one source for what it has not said yet."""
        asked_at = self._clock.now()
        today = self.today(instrument)
        begin, end = self._missing(instrument, first, today, known)
        raw = await _said(source, instrument, begin, end)
        if known is None and not len(raw.bars):
            raise NothingKnown
        before = known or Coverage(begin, begin, asked_at)
        joined = replace(before, first=min(begin, before.first))
        return _Delivery(raw, joined if end < today else self._reach(instrument, raw, joined, asked_at))

    def _missing(self, instrument: Instrument, first: date, today: date, known: Coverage | None) -> tuple[date, date]:
        """Return the days to ask a source for; both ends missing is one question about all."""
        at_least = min(first, years_before(today, LEAST_YEARS))
        if known is None:
            return at_least, today
        begins_later = first < known.first
        if begins_later and not self._is_due(instrument, known):
            return at_least, known.first
        return at_least if begins_later else max(known.first, known.last - TOLD_AGAIN), today

    def _reach(self, instrument: Instrument, raw: RawHistory, known: Coverage, asked_at: datetime) -> Coverage:
        """Return how far a source's word reaches once it has answered up to today."""
        settled = self._calendar.sessions_of(venue_of(instrument)).last_finished(asked_at - PUBLISHED_WITHIN)
        days = [known.last, raw.bars.last_session, None if settled is None else settled.date]
        return replace(known, last=max(day for day in days if day is not None), asked_at=asked_at)


async def _said(source: Any, instrument: Instrument, first: date, last: date) -> RawHistory:
    """Return what a source says of some days; nothing where it knows nothing, as it may of days without a session."""
    try:
        history = await source.daily_history(instrument, first, last)
    except NothingKnown:
        history = DailyHistory(_no_bars(instrument))
    return unadjusted(history)


def _no_bars(instrument: Instrument) -> DailyBars:
    return DailyBars(instrument.id, np.array([], dtype="datetime64[D]"), *np.empty((4, 0)))
