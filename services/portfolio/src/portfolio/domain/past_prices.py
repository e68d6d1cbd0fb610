"""What instruments cost on the days before, asked for a few at a time, for as long as a reader can wait."""

import asyncio
from collections.abc import Sequence
from datetime import date

from chassis.tasks import end
from portfolio.domain.market import MarketUnavailable
from portfolio.domain.ports import CloseSource
from portfolio.domain.value_series import PastAnswer, PastCloses

PATIENCE_SECONDS = 2.5
CALLS_AT_ONCE = 16


class PastPrices:
    """Asks for past closes; all readers together make a bounded number of calls at once.

    Args:
        source: who knows them, one instrument a call; its calls have an end.
        patience_seconds: how long a reader waits; what has not come by then is unanswered.
    """

    def __init__(self, source: CloseSource, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._source = source
        self._patience_seconds = patience_seconds
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)

    async def closes(self, instruments: Sequence[str], *, first: date, last: date) -> PastAnswer:
        """Return the closes of instruments from `first` to `last`, both with; never raises for want of an answer."""
        tasks = {each: asyncio.create_task(self._ask(each, first, last)) for each in dict.fromkeys(instruments)}
        if not tasks:
            return PastAnswer()
        try:
            await asyncio.wait(tasks.values(), timeout=self._patience_seconds)
            # Before the others are cancelled: what has come by now counts.
            answers = {each: task.result() if task.done() else None for each, task in tasks.items()}
        finally:
            await end(*tasks.values())
        closes = {each: answer for each, answer in answers.items() if isinstance(answer, PastCloses) and answer.closes}
        return PastAnswer(closes, frozenset(each for each, answer in answers.items() if answer is None))

    async def _ask(self, instrument: str, first: date, last: date) -> PastCloses | None:
        """Return the closes; None when nobody answers."""
        try:
            async with self._calls:
                return await self._source.closes(instrument, first=first, last=last)
        except MarketUnavailable:
            return None
