"""The watchlist service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import watchlists_pb2, watchlists_pb2_grpc
from portfolio.domain.watching import WatchlistDesk
from portfolio.messages.watchlists import priced_message, watchlist_message


class WatchlistService(watchlists_pb2_grpc.WatchlistServiceServicer):
    """Keeps each user's watchlists."""

    def __init__(self, desk: WatchlistDesk) -> None:
        self._desk = desk

    async def ListWatchlists(  # the contract's name
        self,
        request: watchlists_pb2.ListWatchlistsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> watchlists_pb2.ListWatchlistsResponse:
        """List a user's watchlists."""
        names = await self._desk.names(request.user_id)
        return watchlists_pb2.ListWatchlistsResponse(
            watchlists=[watchlists_pb2.WatchlistName(id=each.id, name=each.name) for each in names]
        )

    async def CreateWatchlist(  # the contract's name
        self,
        request: watchlists_pb2.CreateWatchlistRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> watchlists_pb2.CreateWatchlistResponse:
        """Make an empty watchlist."""
        watchlist = await self._desk.create(request.user_id, request.name)
        return watchlists_pb2.CreateWatchlistResponse(watchlist=watchlist_message(watchlist, {}))

    async def GetWatchlist(  # the contract's name
        self,
        request: watchlists_pb2.GetWatchlistRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> watchlists_pb2.GetWatchlistResponse:
        """Read a watchlist at the prices of now."""
        priced = await self._desk.get(request.user_id, request.watchlist_id)
        return watchlists_pb2.GetWatchlistResponse(watchlist=priced_message(priced))

    async def ReplaceTickers(  # the contract's name
        self,
        request: watchlists_pb2.ReplaceTickersRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> watchlists_pb2.ReplaceTickersResponse:
        """Replace the tickers of a watchlist."""
        priced = await self._desk.replace_tickers(request.user_id, request.watchlist_id, request.tickers)
        return watchlists_pb2.ReplaceTickersResponse(watchlist=priced_message(priced))

    async def DeleteWatchlist(  # the contract's name
        self,
        request: watchlists_pb2.DeleteWatchlistRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> watchlists_pb2.DeleteWatchlistResponse:
        """Delete a watchlist."""
        await self._desk.delete(request.user_id, request.watchlist_id)
        return watchlists_pb2.DeleteWatchlistResponse()
