"""Messages of watchlists."""

from collections.abc import Mapping

from bourse.portfolio.v1 import watchlists_pb2
from portfolio.domain.quotes import TickerPrice
from portfolio.domain.watchlists import PricedWatchlist, WatchedTicker, Watchlist
from portfolio.messages.provenance import provenance_message


def priced_message(priced: PricedWatchlist) -> watchlists_pb2.Watchlist:
    """Return a watchlist at the prices of now as others see it."""
    return watchlist_message(priced.watchlist, priced.prices)


def watchlist_message(watchlist: Watchlist, prices: Mapping[str, TickerPrice]) -> watchlists_pb2.Watchlist:
    """Return a watchlist as others see it; prices are by instrument."""
    return watchlists_pb2.Watchlist(
        id=watchlist.id,
        name=watchlist.name,
        tickers=[_ticker_message(ticker, prices.get(ticker.instrument)) for ticker in watchlist.tickers],
    )


def _ticker_message(ticker: WatchedTicker, price: TickerPrice | None) -> watchlists_pb2.WatchedTicker:
    message = watchlists_pb2.WatchedTicker(symbol=ticker.symbol, instrument=ticker.instrument, name=ticker.name)
    if price is None:
        return message
    priced = watchlists_pb2.WatchedTicker(
        price=price.last_price,
        change=price.change,
        change_percent=price.change_percent,
        provenance=provenance_message(price.provenance),
    )
    message.MergeFrom(priced)
    return message
