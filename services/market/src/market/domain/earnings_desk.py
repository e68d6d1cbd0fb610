"""Answers who reports when."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from chassis.clock import Clock
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.earnings import DAYS_AHEAD, DAYS_BACK, REPORTING_EXCHANGES, EarningsReport
from market.domain.instruments import Exchange, InstrumentDirectory, InstrumentKind

NEW_YORK = ZoneInfo("America/New_York")

Reports = tuple[EarningsReport, ...]


class EarningsDesk:
    """Asks the sources for the days around today.

    Args:
        directory: where companies are listed, for sources that don't say it.
        desk: all sources.
        clock: what today is.
    """

    def __init__(self, directory: InstrumentDirectory, desk: AnswerDesk, clock: Clock) -> None:
        self._exchange_of = _exchanges(directory)
        self._answers = desk.answers(Capability.EARNINGS, Reports)
        self._clock = clock

    async def calendar(self) -> Answer[Reports]:
        """Return the reports from yesterday to fifteen days ahead in New York, by date, then symbol.

        Companies on other exchanges than NASDAQ, NYSE and AMEX, or on one that nobody knows, are left out.

        Raises:
            CapabilityMissing: no source has a calendar.
            SourcesUnavailable: no source answers.
        """
        today = self._clock.now().astimezone(NEW_YORK).date()
        first, last = today - timedelta(days=DAYS_BACK), today + timedelta(days=DAYS_AHEAD)

        async def ask(source: Any) -> Reports:
            return tuple(await source.earnings(first, last))

        answer = await self._answers.one(f"{first}:{last}", ask)
        placed = [self._placed(each) for each in answer.value if first <= each.on <= last]
        listed = [each for each in placed if each.exchange in REPORTING_EXCHANGES]
        return replace(answer, value=tuple(sorted(listed, key=lambda each: (each.on, each.symbol))))

    def _placed(self, report: EarningsReport) -> EarningsReport:
        return report if report.exchange else replace(report, exchange=self._exchange_of.get(report.symbol))


def _exchanges(directory: InstrumentDirectory) -> Mapping[str, Exchange]:
    """Return where each company of the United States is listed, by symbol; two of one symbol are nowhere."""
    listed = [each for each in directory.instruments if each.exchange in REPORTING_EXCHANGES]
    companies = [each for each in listed if each.kind is InstrumentKind.EQUITY]
    counts = Counter(each.symbol for each in companies)
    return {each.symbol: each.exchange for each in companies if counts[each.symbol] == 1}
