"""Answers what was published lately."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.tasks import end
from market.domain.answer_desk import AnswerDesk, NoAnswer
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.instruments import Instrument, InstrumentDirectory, Listing
from market.domain.limits import read_limit, read_page
from market.domain.news import Article
from market.domain.quote_sources import SourcesUnavailable
from market.domain.symbol_batches import Found, Missing, MissingSymbol, read_symbols

DEFAULT_ARTICLES = 20
AT_ONCE = 8
# The first eight have answered, or have said why not, before; callers wait five seconds.
ALL_SECONDS = 4.7

Articles = tuple[Article, ...]


@dataclass(frozen=True, slots=True)
class StockNewsAnswer:
    """News of several instruments, in the order asked, and the symbols without an answer."""

    found: Sequence[Found[Answer[Articles]]]
    missing: Sequence[MissingSymbol]


class NewsDesk:
    """Asks the sources for pages of articles.

    Every method raises PageInvalid and LimitInvalid (limit 1 to 50; 0 for 20), CapabilityMissing when no source has
    such articles, and SourcesUnavailable.

    Args:
        directory: what symbols mean.
        desk: all sources.
        all_seconds: how long the news of several instruments may take, all together.
    """

    def __init__(self, directory: InstrumentDirectory, desk: AnswerDesk, *, all_seconds: float = ALL_SECONDS) -> None:
        self._directory = directory
        self._latest = desk.answers(Capability.NEWS, Articles)
        self._releases = desk.answers(Capability.PRESS_RELEASES, Articles)
        self._of_stock = desk.answers(Capability.STOCK_NEWS, Articles)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._all_seconds = all_seconds

    async def latest(self, *, page: int, limit: int) -> Answer[Articles]:
        """Return a page of the latest news, newest first."""
        page, count = read_page(page), read_limit(limit, default=DEFAULT_ARTICLES)

        async def ask(source: Any) -> Articles:
            return _newest(await source.latest_news(page=page, limit=count))

        return await self._latest.one(f"{page}:{count}", ask)

    async def press_releases(self, *, page: int, limit: int) -> Answer[Articles]:
        """Return a page of the latest press releases, newest first."""
        page, count = read_page(page), read_limit(limit, default=DEFAULT_ARTICLES)

        async def ask(source: Any) -> Articles:
            return _newest(await source.press_releases(page=page, limit=count))

        return await self._releases.one(f"{page}:{count}", ask)

    async def of_stocks(self, symbols: Sequence[str], listing: Listing, *, page: int, limit: int) -> StockNewsAnswer:
        """Return a page of the latest news of each of up to 50 instruments.

        Raises:
            SymbolsEmpty, TooManySymbols, SymbolInvalid: the list is not one.
            SymbolUnknown: every one of them is unknown.
        """
        page, count = read_page(page), read_limit(limit, default=DEFAULT_ARTICLES)
        batch = read_symbols(self._directory, symbols, listing)
        results = await self._of_all(batch.instruments, page, count)
        answers = {instrument: result for instrument, result in results.items() if isinstance(result, Answer)}
        failures = [result for result in results.values() if isinstance(result, SourcesUnavailable)]
        if failures and not answers:
            raise failures[0]
        return StockNewsAnswer(batch.found(answers), batch.missing(answers, Missing.NO_ANSWER))

    async def _of_all(
        self, instruments: Sequence[Instrument], page: int, limit: int
    ) -> Mapping[str, Answer[Articles] | SourcesUnavailable | None]:
        """Return what there is of each within the time; what takes longer goes on, and is there for who asks next."""
        tasks = {each.id: asyncio.create_task(self._of(each, page, limit)) for each in instruments}
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=self._all_seconds)
            late = self._of_stock.not_yet()
            return {instrument: task.result() if task.done() else late for instrument, task in tasks.items()}
        finally:
            await end(*tasks.values())

    async def _of(self, instrument: Instrument, page: int, limit: int) -> Answer[Articles] | SourcesUnavailable | None:
        async def ask(source: Any) -> Articles:
            return _newest(await source.stock_news(instrument, page=page, limit=limit))

        key = f"{instrument.id}:{page}:{limit}"
        if (kept := self._of_stock.kept(key)) is not None:
            return kept  # without a turn, for which others may be waiting
        async with self._turns:
            try:
                return await self._of_stock.one(key, ask, instrument=instrument)
            except NoAnswer:
                return None
            except SourcesUnavailable as failure:
                return failure


def _newest(articles: Sequence[Article]) -> Articles:
    return tuple(sorted(articles, key=lambda each: each.published_at, reverse=True))
