import asyncio
from datetime import date
from decimal import Decimal

import pytest

from portfolio.domain.market import MarketUnavailable
from portfolio.domain.past_prices import CALLS_AT_ONCE, PastPrices
from portfolio.domain.value_series import PastAnswer, PastCloses

FIRST, LAST = date(2026, 1, 1), date(2026, 3, 1)
CLOSES = PastCloses([(FIRST, Decimal(1))], is_simulated=False)


class Library:
    """Answers at once, but for what it is told to keep waiting; counts who is with it."""

    def __init__(self) -> None:
        self.slow: set[str] = set()
        self.silent: set[str] = set()
        self.unknown: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.asked: list[str] = []

    async def closes(self, instrument: str, *, first: date, last: date) -> PastCloses:
        assert (first, last) == (FIRST, LAST)
        self.asked.append(instrument)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(3_600 if instrument in self.slow else 0)
        finally:
            self.at_once -= 1
        if instrument in self.silent:
            raise MarketUnavailable
        return PastCloses([], is_simulated=False) if instrument in self.unknown else CLOSES


async def test_each_is_asked_for_once_and_a_few_at_once() -> None:
    library = Library()
    wanted = [f"NSE:S{number}" for number in range(100)]
    answer = await PastPrices(library).closes([*wanted, *wanted], first=FIRST, last=LAST)
    assert set(answer.closes) == set(library.asked) == set(wanted)
    assert (len(library.asked), library.most_at_once) == (100, CALLS_AT_ONCE)


async def test_what_does_not_come_in_time_is_unanswered_and_not_waited_for() -> None:
    library = Library()
    library.slow, library.silent, library.unknown = {"NSE:SLOW"}, {"NSE:SILENT"}, {"NSE:UNKNOWN"}
    wanted = ["NSE:A", "NSE:SLOW", "NSE:SILENT", "NSE:UNKNOWN"]
    answer = await PastPrices(library, patience_seconds=0.05).closes(wanted, first=FIRST, last=LAST)
    assert answer == PastAnswer({"NSE:A": CLOSES}, frozenset({"NSE:SLOW", "NSE:SILENT"}))
    assert library.at_once == 0


async def test_nothing_is_asked_for_nothing() -> None:
    assert await PastPrices(Library()).closes([], first=FIRST, last=LAST) == PastAnswer()


async def test_a_reader_who_leaves_leaves_nothing_behind() -> None:
    library = Library()
    library.slow = {"NSE:SLOW"}
    reading = asyncio.create_task(PastPrices(library).closes(["NSE:SLOW"], first=FIRST, last=LAST))
    while not library.at_once:
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert library.at_once == 0
