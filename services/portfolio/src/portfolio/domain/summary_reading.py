"""Gathers what a user has for a summary: rows, own portfolios, prices, the past."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from chassis.clock import Clock
from portfolio.domain.amounts import money, plus, product
from portfolio.domain.days import day_in_india
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.market import Market, RememberedQuotes
from portfolio.domain.past_prices import PastPrices
from portfolio.domain.ports import ManualPortfolioStore, PortfolioStore
from portfolio.domain.quotes import QuoteAnswer
from portfolio.domain.rows import SyncedRows
from portfolio.domain.snapshots import ValuedRows, value_all
from portfolio.domain.summaries import RUPEES, Summary, summarise
from portfolio.domain.value_series import (
    SERIES_DAYS,
    HeldUnits,
    MissingSeries,
    ValueSeries,
    series_of_holdings,
    series_of_snapshots,
)

# Each is a call of its own; what is worth the least is left out.
MAX_WITH_PAST = 200


class SummaryReader:
    """Gathers summaries.

    Args:
        store: holds what brokers said.
        own: holds what users entered.
        market: prices brokers' rows.
        quotes: prices users' own stocks, in any currency.
        past: knows what these cost before.
        clock: says when it is.
    """

    def __init__(
        self,
        store: PortfolioStore,
        own: ManualPortfolioStore,
        *,
        market: Market,
        quotes: RememberedQuotes,
        past: PastPrices,
        clock: Clock,
    ) -> None:
        self._store = store
        self._own = own
        self._market = market
        self._quotes = quotes
        self._past = past
        self._clock = clock

    async def read(self, user_id: str) -> Summary:
        """Return what a user has now.

        Raises:
            PricesUnavailable: something is held, none of it has a price, and that is for want of answers.
        """
        at = self._clock.now()
        today = day_in_india(at)
        first = today - timedelta(days=SERIES_DAYS)
        brokers, snapshots = await self._store.trend_of(user_id, first=first, last=today)
        portfolios = await self._own.portfolios_of(user_id)
        valued, quotes = await asyncio.gather(self._valued(brokers), self._quotes.latest(instruments_in(portfolios)))
        synced, unsynced = series_of_snapshots(snapshots, currency=RUPEES)
        series, missing = await self._series_of(held_units(portfolios, quotes))
        return summarise(
            valued,
            portfolios,
            quotes,
            at=at,
            series=[*synced, *series],
            missing_series=[*unsynced, *missing],
        )

    async def _valued(self, brokers: Sequence[SyncedRows]) -> Sequence[ValuedRows]:
        view = await self._market.view(brokers, day=day_in_india(self._clock.now()))
        return await value_all(brokers, view)

    async def _series_of(self, held: Sequence[HeldUnits]) -> tuple[Sequence[ValueSeries], Sequence[MissingSeries]]:
        today = day_in_india(self._clock.now())
        first = today - timedelta(days=SERIES_DAYS)
        asked = [each.instrument for each in held[:MAX_WITH_PAST]]
        past = await self._past.closes(asked, first=first, last=today)
        return series_of_holdings(held, past, first=first)


def instruments_in(portfolios: Sequence[ManualPortfolio]) -> Sequence[str]:
    """Return the instruments of portfolios, each once."""
    return list(dict.fromkeys(stock.instrument for each in portfolios for stock in each.stocks))


def held_units(portfolios: Sequence[ManualPortfolio], quotes: QuoteAnswer) -> Sequence[HeldUnits]:
    """Add up what is priced over all portfolios, by instrument: what is worth the most first."""
    quantities: defaultdict[str, Decimal] = defaultdict(Decimal)
    for stock in (stock for each in portfolios for stock in each.stocks):
        quantities[stock.instrument] = plus(quantities[stock.instrument], stock.quantity)
    held = [
        HeldUnits(instrument, quote.currency, quantity, money(product(quantity, quote.last_price)))
        for instrument, quantity in quantities.items()
        if (quote := quotes.quotes.get(instrument)) is not None
    ]
    # Figures of two currencies are compared as they are, which decides no more than what is left out after 200.
    return sorted(held, key=lambda each: (-each.value, each.instrument))
