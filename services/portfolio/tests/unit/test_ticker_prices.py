from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from portfolio.domain.market import MarketUnavailable
from portfolio.domain.quotes import Freshness, Provenance, TickerPrice
from portfolio.domain.ticker_prices import TickerPrices

PRICE = TickerPrice(1.5, None, None, Provenance("yahoo", datetime(2026, 3, 12, tzinfo=UTC), Freshness.LIVE))


class Market:
    """Fails each call in which an instrument is called so."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def latest(self, instruments: Collection[str]) -> Mapping[str, TickerPrice]:
        self.asked.append(len(instruments))
        if "FAILS" in instruments:
            raise MarketUnavailable
        return dict.fromkeys(instruments, PRICE)


async def test_prices_are_asked_for_by_fifty() -> None:
    market = Market()
    prices = await TickerPrices(market).latest([f"S{number}" for number in range(120)])
    assert (market.asked, len(prices)) == ([50, 50, 20], 120)


async def test_a_call_that_fails_leaves_its_instruments_without_a_price() -> None:
    instruments = [*(f"S{number}" for number in range(50)), "FAILS"]
    assert set(await TickerPrices(Market()).latest(instruments)) == set(instruments[:50])


async def test_without_instruments_nobody_is_asked() -> None:
    market = Market()
    assert (await TickerPrices(market).latest([]), market.asked) == ({}, [])
