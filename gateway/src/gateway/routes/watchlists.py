"""Lists of instruments that a user watches."""

from fastapi import APIRouter

from bourse.portfolio.v1 import watchlists_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Watchlists
from gateway.errors import documented
from gateway.models.watchlists import NewWatchlist, Tickers, WatchlistAnswer, WatchlistDeleted, WatchlistNames
from gateway.params import WatchlistId
from gateway.security import Owner

router = APIRouter(prefix="/api", tags=["watchlists"], route_class=StrictRoute)

ERRORS = (400, 401, 403, 429, 503, 504)
BODY_ERRORS = (408, 413, 415)


@router.get("/watchlists/{user_id}", response_model=WatchlistNames, responses=documented(*ERRORS))
async def list_watchlists(user_id: Owner, watchlists: Watchlists) -> pb.ListWatchlistsResponse:
    """List the user's watchlists by id and name, oldest first."""
    return await watchlists.ListWatchlists(pb.ListWatchlistsRequest(user_id=user_id))


@router.post("/watchlists/{user_id}", response_model=WatchlistAnswer, responses=documented(*ERRORS, *BODY_ERRORS))
async def create_watchlist(user_id: Owner, wanted: NewWatchlist, watchlists: Watchlists) -> pb.CreateWatchlistResponse:
    """Make an empty watchlist; a user has at most 100."""
    return await watchlists.CreateWatchlist(pb.CreateWatchlistRequest(user_id=user_id, name=wanted.name))


@router.get("/watchlist/{user_id}/{watchlist_id}", response_model=WatchlistAnswer, responses=documented(*ERRORS, 404))
async def read_watchlist(user_id: Owner, watchlist_id: WatchlistId, watchlists: Watchlists) -> pb.GetWatchlistResponse:
    """Read a watchlist with its tickers' prices of now."""
    return await watchlists.GetWatchlist(pb.GetWatchlistRequest(user_id=user_id, watchlist_id=watchlist_id))


@router.post(
    "/watchlist/{user_id}/{watchlist_id}",
    response_model=WatchlistAnswer,
    responses=documented(*ERRORS, *BODY_ERRORS, 404),
)
async def replace_tickers(
    user_id: Owner, watchlist_id: WatchlistId, wanted: Tickers, watchlists: Watchlists
) -> pb.ReplaceTickersResponse:
    """Put tickers in the place of those of a watchlist: order kept, duplicates folded, upper case.

    Unknown symbols are 400, all of them named; nothing is changed then.
    """
    request = pb.ReplaceTickersRequest(user_id=user_id, watchlist_id=watchlist_id, tickers=wanted.tickers)
    return await watchlists.ReplaceTickers(request)


@router.delete(
    "/watchlist/{user_id}/{watchlist_id}", response_model=WatchlistDeleted, responses=documented(*ERRORS, 404)
)
async def delete_watchlist(
    user_id: Owner, watchlist_id: WatchlistId, watchlists: Watchlists
) -> pb.DeleteWatchlistResponse:
    """Delete a watchlist."""
    return await watchlists.DeleteWatchlist(pb.DeleteWatchlistRequest(user_id=user_id, watchlist_id=watchlist_id))
