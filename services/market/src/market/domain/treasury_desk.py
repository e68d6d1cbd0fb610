"""Answers what treasuries yield."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from chassis.clock import Clock
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.dates import read_stretch
from market.domain.treasury import TreasuryRates

USUAL_STRETCH = timedelta(days=90)
LONGEST_STRETCH = timedelta(days=5 * 366)
# No source has yields of days before, and there are none of days to come: neither is asked for.
EARLIEST = date(1962, 1, 1)

Rates = tuple[TreasuryRates, ...]


class TreasuryDesk:
    """Asks the sources for stretches of days.

    Args:
        desk: all sources.
        clock: what today is.
    """

    def __init__(self, desk: AnswerDesk, clock: Clock) -> None:
        self._answers = desk.answers(Capability.TREASURY, Rates)
        self._clock = clock

    async def rates(self, from_date: str, to_date: str) -> Answer[Rates]:
        """Return the yields of the days between two dates, newest first.

        Args:
            from_date: the first day, `YYYY-MM-DD`, tomorrow at most where there is no last; empty for ninety days
                before the last.
            to_date: the last day, at most five years later; empty for today, or for that if it is earlier.

        Raises:
            DatesInvalid: one is not a date, or they are the wrong way round or too far apart.
            CapabilityMissing: no source has yields.
            SourcesUnavailable: no source answers.
        """
        today = self._clock.now().date()
        first, last = read_stretch(
            from_date, to_date, today=today, place="UTC", usual=USUAL_STRETCH, longest=LONGEST_STRETCH
        )
        begin, end = (min(max(each, EARLIEST), today) for each in (first, last))

        async def ask(source: Any) -> Rates:
            return tuple(await source.treasury_rates(begin, end))

        answer = await self._answers.one(f"{begin}:{end}", ask)
        days = [each for each in answer.value if first <= each.on <= last]
        return replace(answer, value=tuple(sorted(days, key=lambda each: each.on, reverse=True)))
