"""Market's words, remembered for as long as they hold, so that many readers at once are one caller."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from chassis.tasks import end
from portfolio.domain.days import day_in_india
from portfolio.domain.ports import QuoteSource, SplitSource
from portfolio.domain.prices import MarketView
from portfolio.domain.quotes import QuoteAnswer
from portfolio.domain.rows import BrokerRow, SyncedRows, quoted_instrument
from portfolio.domain.splits import KnownSplits, Split

log = logging.getLogger(__name__)

QUOTES_AT_ONCE = 50
CALLS_AT_ONCE = 8
QUOTES_HOLD_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
SPLITS_HOLD_SECONDS = 300.0
MAX_REMEMBERED = 20_000
# A quote may be older than the sync by a long weekend; splits since then have to be known too.
SPLITS_BACK_DAYS = 10


class MarketUnavailable(ServiceError):
    """Market gave no answer, in time or at all; readers are never told, they are shown the brokers' prices."""

    code = Code.UNAVAILABLE
    reason = "MARKET_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("market is not answering; try again shortly")


@dataclass(frozen=True, slots=True)
class _Asking:
    began_at: float
    task: "asyncio.Task[QuoteAnswer]"


class RememberedQuotes:
    """Asks for quotes in batches, a bounded number of them at once, and for none twice within a second.

    Args:
        source: who knows them; up to 50 a call.
        clock: says when a second has passed.
        patience_seconds: how long a reader waits; what has not come by then is unanswered.
        max_remembered: how many instruments are remembered.
    """

    def __init__(
        self,
        source: QuoteSource,
        clock: Clock,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._source = source
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._max_remembered = max_remembered
        self._asked: OrderedDict[str, _Asking] = OrderedDict()
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._running: set[asyncio.Task[QuoteAnswer]] = set()

    async def latest(self, instruments: Collection[str]) -> QuoteAnswer:
        """Return the quotes of any number of instruments; never raises for want of an answer."""
        wanted = sorted(set(instruments))
        tasks = self._tasks_for(wanted)
        if tasks:
            await asyncio.wait(set(tasks.values()), timeout=self._patience_seconds)
        quotes = {}
        unanswered = set()
        for instrument, task in tasks.items():
            answer = task.result() if task.done() and not task.cancelled() else None
            if answer is None or instrument in answer.unanswered:
                unanswered.add(instrument)
            elif instrument in answer.quotes:
                quotes[instrument] = answer.quotes[instrument]
        return QuoteAnswer(quotes, frozenset(unanswered))

    async def finish(self) -> None:
        """End what is under way."""
        await end(*self._running)

    def _tasks_for(self, wanted: Sequence[str]) -> Mapping[str, "asyncio.Task[QuoteAnswer]"]:
        now = self._clock.monotonic()
        tasks = {each: asked.task for each in wanted if (asked := self._holding(each, now)) is not None}
        for batch in _portions([each for each in wanted if each not in tasks], QUOTES_AT_ONCE):
            # A reader who leaves must not take the answer from those who wait for the same.
            task = asyncio.create_task(self._ask(batch), name="quotes")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            for instrument in batch:
                tasks[instrument] = task
                self._remember(instrument, _Asking(now, task))
        return tasks

    def _holding(self, instrument: str, now: float) -> _Asking | None:
        asked = self._asked.get(instrument)
        if asked is None or (asked.task.done() and now - asked.began_at >= QUOTES_HOLD_SECONDS):
            return None
        return asked

    def _remember(self, instrument: str, asking: _Asking) -> None:
        self._asked[instrument] = asking
        self._asked.move_to_end(instrument)
        while len(self._asked) > self._max_remembered:
            self._asked.popitem(last=False)

    async def _ask(self, batch: Sequence[str]) -> QuoteAnswer:
        try:
            async with asyncio.timeout(self._patience_seconds), self._calls:
                return await self._source.latest(batch)
        except (MarketUnavailable, TimeoutError) as error:
            log.debug("no quotes", extra={"instruments": len(batch), "error": type(error).__name__})
            return QuoteAnswer({}, frozenset(batch))


@dataclass(frozen=True, slots=True)
class _HeardSplits:
    heard_at: float
    heard_on: date
    first: date
    splits: Sequence[Split]


class RememberedSplits:
    """Asks for splits and remembers them: for minutes instead of asking, and for the day while nobody answers."""

    def __init__(self, source: SplitSource, clock: Clock, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._source = source
        self._clock = clock
        self._max_remembered = max_remembered
        self._heard: OrderedDict[str, _HeardSplits] = OrderedDict()

    async def since(self, instruments: Collection[str], day: date) -> KnownSplits:
        """Return the splits with an ex-date after a day; an instrument nobody could say anything of is not in it."""
        # The first of a month, so that readers with syncs of different days ask the same.
        first = (day + timedelta(days=1)).replace(day=1)
        today = day_in_india(self._clock.now())
        wanted = sorted(set(instruments))
        to_ask = [each for each in wanted if not self._holds(each, first, today, is_recent=True)]
        if to_ask:
            # From as far back as anybody asked today: this answer takes the place of theirs.
            theirs = [self._heard[each].first for each in to_ask if self._holds(each, date.max, today, is_recent=False)]
            await self._ask(to_ask, min([first, *theirs]), today)
        held = {each: self._heard[each].splits for each in wanted if self._holds(each, first, today, is_recent=False)}
        return KnownSplits(held, first - timedelta(days=1))

    def _holds(self, instrument: str, first: date, today: date, *, is_recent: bool) -> bool:
        heard = self._heard.get(instrument)
        if heard is None or heard.first > first or heard.heard_on != today:
            return False
        return not is_recent or self._clock.monotonic() - heard.heard_at < SPLITS_HOLD_SECONDS

    async def _ask(self, instruments: Sequence[str], first: date, today: date) -> None:
        try:
            by_instrument = await self._source.since(instruments, first)
        except MarketUnavailable as error:
            log.debug("no splits", extra={"instruments": len(instruments), "error": type(error).__name__})
            return
        heard_at = self._clock.monotonic()
        for instrument, splits in by_instrument.items():
            self._heard[instrument] = _HeardSplits(heard_at, today, first, tuple(splits))
            self._heard.move_to_end(instrument)
        while len(self._heard) > max(self._max_remembered, len(by_instrument)):
            self._heard.popitem(last=False)


class Market:
    """What market says of rows: their quotes and their splits, asked for at the same time."""

    def __init__(self, quotes: RememberedQuotes, splits: RememberedSplits) -> None:
        self._quotes = quotes
        self._splits = splits

    async def view(self, brokers: Sequence[SyncedRows], *, day: date) -> MarketView:
        """Return all that is known to value some brokers' rows as of a day; what is not known is left out."""
        instruments = {quoted for row in _rows_of(brokers) if (quoted := quoted_instrument(row)) is not None}
        if not instruments:
            return MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), day)
        oldest = min(rows.sync.date for rows in brokers) - timedelta(days=SPLITS_BACK_DAYS)
        quotes, splits = await asyncio.gather(self._quotes.latest(instruments), self._splits.since(instruments, oldest))
        return MarketView(quotes, splits, day)


def _rows_of(brokers: Sequence[SyncedRows]) -> Iterator[BrokerRow]:
    return chain.from_iterable((*rows.holdings, *rows.positions) for rows in brokers)


def _portions(instruments: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(instruments), size):
        yield instruments[start : start + size]
