"""Watchlists with behaviour and without a database."""

from collections.abc import Awaitable, Callable
from typing import Any

from bourse.portfolio.v1 import watchlists_pb2 as pb
from bourse.portfolio.v1 import watchlists_pb2_grpc
from chassis.errors import Code
from fakes.faults import Refusal, provenance

NAMES = {
    "NASDAQ:AAPL": "Apple Inc.",
    "NASDAQ:MSFT": "Microsoft Corporation",
    "NASDAQ:GOOGL": "Alphabet Inc.",
    "NASDAQ:TSLA": "Tesla, Inc.",
    "NSE:TCS": "Tata Consultancy Services",
    "NSE:M&M": "Mahindra & Mahindra",
}


class FakeWatchlists:
    """Watchlists by user.

    Attributes:
        prices: price, change and change in percent by instrument; the documents' own. What is not here has none.
    """

    def __init__(self, meet: Callable[[str, Any], Awaitable[None]]) -> None:
        self._meet = meet
        self._last_id = 0
        self.watchlists: dict[str, list[pb.Watchlist]] = {}
        self.prices = {"NASDAQ:AAPL": (201.28, 2.15, 1.08), "NASDAQ:MSFT": (415.5, -1.2, -0.29)}
        self.max_watchlists = 100
        self.max_tickers = 200

    def _found(self, request: Any) -> pb.Watchlist:
        for watchlist in self.watchlists.get(request.user_id, []):
            if watchlist.id == request.watchlist_id:
                return watchlist
        raise Refusal(Code.NOT_FOUND, "WATCHLIST_NOT_FOUND", f"there is no watchlist {request.watchlist_id}")

    def _priced(self, watchlist: pb.Watchlist) -> pb.Watchlist:
        shown = pb.Watchlist(id=watchlist.id, name=watchlist.name)
        for ticker in watchlist.tickers:
            row = shown.tickers.add(symbol=ticker.symbol, instrument=ticker.instrument, name=ticker.name)
            if ticker.instrument in self.prices:
                row.price, row.change, row.change_percent = self.prices[ticker.instrument]
                row.provenance.CopyFrom(provenance())
        return shown

    async def ListWatchlists(self, request: pb.ListWatchlistsRequest, context: Any) -> pb.ListWatchlistsResponse:
        await self._meet("ListWatchlists", context)
        own = self.watchlists.get(request.user_id, [])
        return pb.ListWatchlistsResponse(watchlists=[pb.WatchlistName(id=each.id, name=each.name) for each in own])

    async def CreateWatchlist(self, request: pb.CreateWatchlistRequest, context: Any) -> pb.CreateWatchlistResponse:
        await self._meet("CreateWatchlist", context)
        own = self.watchlists.setdefault(request.user_id, [])
        if not request.name.strip():
            raise Refusal(Code.INVALID_ARGUMENT, "NAME_INVALID", "a name has 1 to 100 characters")
        if len(own) >= self.max_watchlists:
            limit = f"there are {self.max_watchlists} watchlists, the most there can be; delete one first"
            raise Refusal(Code.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHLISTS", limit)
        self._last_id += 1
        own.append(pb.Watchlist(id=self._last_id, name=request.name))
        return pb.CreateWatchlistResponse(watchlist=own[-1])

    async def GetWatchlist(self, request: pb.GetWatchlistRequest, context: Any) -> pb.GetWatchlistResponse:
        await self._meet("GetWatchlist", context)
        return pb.GetWatchlistResponse(watchlist=self._priced(self._found(request)))

    async def ReplaceTickers(self, request: pb.ReplaceTickersRequest, context: Any) -> pb.ReplaceTickersResponse:
        await self._meet("ReplaceTickers", context)
        watchlist = self._found(request)
        symbols = list(dict.fromkeys(ticker.upper() for ticker in request.tickers))
        if len(request.tickers) > self.max_tickers:
            limit = f"{len(request.tickers)} tickers were given; a watchlist has at most {self.max_tickers}"
            raise Refusal(Code.INVALID_ARGUMENT, "TOO_MANY_TICKERS", limit)
        meanings = {symbol: symbol if ":" in symbol else f"NASDAQ:{symbol}" for symbol in symbols}
        unknown = [symbol for symbol, instrument in meanings.items() if instrument not in NAMES]
        if unknown:
            message = f"{', '.join(unknown)} name no known instrument; the watchlist is as it was"
            raise Refusal(Code.INVALID_ARGUMENT, "SYMBOLS_UNKNOWN", message)
        del watchlist.tickers[:]
        for symbol, instrument in meanings.items():
            watchlist.tickers.add(symbol=symbol, instrument=instrument, name=NAMES[instrument])
        return pb.ReplaceTickersResponse(watchlist=self._priced(watchlist))

    async def DeleteWatchlist(self, request: pb.DeleteWatchlistRequest, context: Any) -> pb.DeleteWatchlistResponse:
        await self._meet("DeleteWatchlist", context)
        self.watchlists.setdefault(request.user_id, []).remove(self._found(request))
        return pb.DeleteWatchlistResponse()

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: watchlists_pb2_grpc.add_WatchlistServiceServicer_to_server(fake, server)]
