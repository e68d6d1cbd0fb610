"""Answers what was published lately."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """

    def __init__(self, directory: InstrumentDirectory, desk: AnswerDesk) -> None:
        self._directory = directory
        self._latest = desk.answers(Capability.NEWS, Articles)
        self._releases = desk.answers(Capability.PRESS_RELEASES, Articles)
        self._of_stock = desk.answers(Capability.STOCK_NEWS, Articles)
        self._turns = asyncio.Semaphore(AT_ONCE)

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
        results = await asyncio.gather(*(self._of(each, page, count) for each in batch.instruments))
        answers: dict[str, Answer[Articles]] = {}
        failures: list[SourcesUnavailable] = []
        for instrument, result in zip(batch.instruments, results, strict=True):
            if isinstance(result, SourcesUnavailable):
                failures.append(result)
            elif result is not None:
                answers[instrument.id] = result
        if failures and not answers:
            raise failures[0]
        return StockNewsAnswer(batch.found(answers), batch.missing(answers, Missing.NO_ANSWER))

    async def _of(self, instrument: Instrument, page: int, limit: int) -> Answer[Articles] | SourcesUnavailable | None:
        async def ask(source: Any) -> Articles:
            return _newest(await source.stock_news(instrument, page=page, limit=limit))

        async with self._turns:
            try:
                return await self._of_stock.one(f"{instrument.id}:{page}:{limit}", ask, instrument=instrument)
            except NoAnswer:
                return None
            except SourcesUnavailable as failure:
                return failure


def _newest(articles: Sequence[Article]) -> Articles:
    return tuple(sorted(articles, key=lambda each: each.published_at, reverse=True))
