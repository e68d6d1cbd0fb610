"""Answers what instruments cost before now: daily bars, bars of five minutes, and figures made of daily bars."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from chassis.errors import ServiceError
from market.domain.adjustments import Adjustment, adjusted
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability
from market.domain.company_desk import About
from market.domain.daily_library import EARLIEST, DailyLibrary
from market.domain.dates import DatesInvalid, read_stretch
from market.domain.history import IntradayBar
from market.domain.instruments import Instrument, InstrumentDirectory, Listing
from market.domain.price_changes import PriceChange, price_change
from market.domain.quote_details import QuoteDetails
from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.domain.year_figures import year_figures

log = logging.getLogger(__name__)

USUAL_DAILY = timedelta(days=5 * 365 + 1)
USUAL_INTRADAY, LONGEST_INTRADAY = timedelta(days=4), timedelta(days=31)
# More than 52 weeks, and than the days that 200 sessions take.
FIGURES_OF = timedelta(days=400)
FIGURES_AT_ONCE = 8
FIGURES_SECONDS = 2.0

IntradayBars = tuple[IntradayBar, ...]


class HistoryDesk:
    """Resolves a symbol and answers from its past.

    Every method that takes a symbol raises SymbolInvalid, SymbolUnknown and SymbolAmbiguous for it; CapabilityMissing
    when no source has such history, NoAnswer when none knows anything of the instrument, and SourcesUnavailable.

    Args:
        directory: what symbols mean.
        desk: all sources.
        library: daily bars.
        figures_seconds: how long the figures of many instruments may take.
    """

    def __init__(
        self,
        directory: InstrumentDirectory,
        desk: AnswerDesk,
        library: DailyLibrary,
        *,
        figures_seconds: float = FIGURES_SECONDS,
    ) -> None:
        self._directory = directory
        self._intraday = desk.answers(Capability.INTRADAY_BARS, IntradayBars)
        self._library = library
        self._figures_seconds = figures_seconds
        self._figures_at_once = asyncio.Semaphore(FIGURES_AT_ONCE)

    async def daily_bars(
        self, symbol: str, listing: Listing, *, from_date: str, to_date: str, adjustment: Adjustment
    ) -> About[DailyBars]:
        """Return the bars of the finished sessions between two dates, both with, oldest first; perhaps none.

        Args:
            symbol: which instrument.
            listing: what a bare symbol means.
            from_date: the first date, `YYYY-MM-DD`, not before 1970, and where there is no last date tomorrow at most;
                empty for up to five years before the last.
            to_date: the last date; empty for today. It may lie ahead.
            adjustment: what prices are adjusted for.

        Raises:
            DatesInvalid: one is not a date, they are the wrong way round, or the first is too early.
        """
        instrument = self._directory.resolve(symbol, listing)
        today = self._library.today(instrument)
        first, last = _read_days(from_date, to_date, today=today, place=_place_of(instrument), usual=USUAL_DAILY)
        # A dividend is measured against the close before it, so that it takes the bars up to the newest.
        until = None if adjustment is Adjustment.ALL else last
        answer = await self._library.history(instrument, min(first, today), until)
        bars = adjusted(answer.value, adjustment).since(first).until(last)
        return About(instrument, _with(answer, bars))

    async def intraday_bars(
        self, symbol: str, listing: Listing, *, from_date: str, to_date: str
    ) -> About[Sequence[IntradayBar]]:
        """Return the bars of five minutes between two dates, both with, oldest first; perhaps none.

        Args:
            symbol: which instrument.
            listing: what a bare symbol means.
            from_date: the first date, `YYYY-MM-DD`, not before 1970, and where there is no last date tomorrow at most;
                empty for four days before the last.
            to_date: the last date, at most 31 days later; empty for today, or for 31 days later if that is earlier.

        Raises:
            DatesInvalid: one is not a date, they are the wrong way round or too far apart, or the first is too early.
        """
        instrument = self._directory.resolve(symbol, listing)
        today = self._library.today(instrument)
        place = _place_of(instrument)
        first, last = _read_days(
            from_date, to_date, today=today, place=place, usual=USUAL_INTRADAY, longest=LONGEST_INTRADAY
        )
        end = min(last, today)
        # Vendors answer days without a session as they answer what they do not know: each is asked about some that
        # have one, so that only who knows nothing of those is taken at that word.
        begin = min(first, end - USUAL_INTRADAY)

        async def ask(source: Any) -> IntradayBars:
            return tuple(await source.intraday_bars(instrument, begin, end))

        answer = await self._intraday.one(f"{instrument.id}:{begin}:{end}", ask, instrument=instrument)
        timezone = TIMEZONE_OF_VENUE[venue_of(instrument)]
        bars = [each for each in answer.value if first <= each.begins_at.astimezone(timezone).date() <= last]
        return About(instrument, _with(answer, sorted(bars, key=lambda each: each.begins_at)))

    async def price_change(self, symbol: str, listing: Listing) -> About[PriceChange]:
        """Return how far the newest close is from earlier ones, since 1970 at most."""
        instrument = self._directory.resolve(symbol, listing)
        answer = await self._library.history(instrument, EARLIEST)
        change = price_change(adjusted(answer.value, Adjustment.SPLIT))
        return About(instrument, _with(answer, change))

    async def year_figures(self, instrument: Instrument) -> Answer[QuoteDetails] | None:
        """Return an instrument's figures of the past year; None where there is no history to make them of."""
        try:
            answer = await self._library.history(instrument, self._library.today(instrument) - FIGURES_OF)
        except ServiceError:
            return None
        return _with(answer, year_figures(adjusted(answer.value, Adjustment.SPLIT)))

    async def year_figures_of(self, instruments: Sequence[Instrument]) -> Mapping[str, Answer[QuoteDetails]]:
        """Return the figures of instruments by id; one without, or that takes too long, is left out.

        What takes too long goes on, and is there for who asks next.
        """
        if not instruments:
            return {}
        tasks = {each.id: asyncio.create_task(self._figures_in_turn(each)) for each in instruments}
        try:
            await asyncio.wait(tasks.values(), timeout=self._figures_seconds)
        finally:
            for task in tasks.values():
                task.cancel()
        outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
        return {each: found for each, found in zip(tasks, outcomes, strict=True) if isinstance(found, Answer)}

    async def _figures_in_turn(self, instrument: Instrument) -> Answer[QuoteDetails] | None:
        async with self._figures_at_once:
            try:
                return await self.year_figures(instrument)
            except Exception:
                log.exception("figures not made", extra={"instrument": instrument.id})
                return None


def _read_days(
    from_date: str, to_date: str, *, today: date, place: str, usual: timedelta, longest: timedelta | None = None
) -> tuple[date, date]:
    first, last = read_stretch(from_date, to_date, today=today, place=place, usual=usual, longest=longest)
    if not from_date:
        first = max(first, EARLIEST)
    for name, day in {"from_date": first, "to_date": last}.items():
        if day < EARLIEST:
            raise DatesInvalid(f"{name} is {day}; it should be {EARLIEST} or later")
    return first, last


def _place_of(instrument: Instrument) -> str:
    """Return whose days an instrument's are, as its time zone names it."""
    return TIMEZONE_OF_VENUE[venue_of(instrument)].key.rpartition("/")[2].replace("_", " ")


def _with(answer: Answer[Any], value: Any) -> Answer[Any]:
    return replace(answer, value=value)
