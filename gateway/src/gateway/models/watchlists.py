"""Watchlists as clients see and send them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gateway.models.origins import AnyAsOf, AnySource, HowFresh
from gateway.params import NameText, WrittenSymbol
from gateway.reply import CamelReply, Change, Percent, Price, Reply, always

MAX_TICKERS = 200


class WatchlistName(Reply):
    """What a watchlist is called."""

    id: int
    name: str


class WatchlistNames(Reply):
    """All watchlists of the user, oldest first."""

    success: Annotated[bool, always(True)]
    watchlists: list[WatchlistName]


class WatchedTicker(CamelReply):
    """One instrument and its price now; what has no price has null there and in what says where it is from."""

    symbol: str
    name: str
    price: Price | None
    change: Change | None
    change_percent: Percent | None
    instrument: str
    source: AnySource
    as_of: AnyAsOf
    freshness: HowFresh


class Watchlist(Reply):
    """A watchlist with its tickers in their owner's order."""

    id: int
    name: str
    tickers: list[WatchedTicker]


class WatchlistAnswer(Reply):
    """One watchlist as it stands."""

    success: Annotated[bool, always(True)]
    watchlist: Watchlist


class WatchlistDeleted(Reply):
    """A watchlist that is gone."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Watchlist deleted successfully")]


class NewWatchlist(BaseModel):
    """A watchlist to make; it is empty."""

    model_config = ConfigDict(extra="forbid")

    name: NameText


class Tickers(BaseModel):
    """What is to stand in a watchlist, in this order; of two that mean one instrument the first stays."""

    model_config = ConfigDict(extra="forbid")

    tickers: Annotated[list[WrittenSymbol], Field(max_length=MAX_TICKERS)]
