"""Lists of instruments that a user watches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.errors import Code, ServiceError
from portfolio.domain.quotes import TickerPrice
from portfolio.domain.symbols import Refusal, SymbolUnknown, invalid_sentence
from portfolio.domain.wording import MAX_LISTED_LENGTH, listed

MAX_WATCHLISTS = 100
MAX_TICKERS = 200
# What says why names are refused takes some of a message.
_WHY_LENGTH = 400


class WatchlistNotFound(ServiceError):
    """The user has no such watchlist."""

    code = Code.NOT_FOUND
    reason = "WATCHLIST_NOT_FOUND"

    def __init__(self, watchlist_id: int) -> None:
        super().__init__(f"there is no watchlist {watchlist_id}")


class TooManyWatchlists(ServiceError):
    """The user has as many watchlists as there may be."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_WATCHLISTS"

    def __init__(self) -> None:
        super().__init__(f"there are {MAX_WATCHLISTS} watchlists, the most there can be; delete one first")


class TooManyTickers(ServiceError):
    """A watchlist was to have more tickers than there may be."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_TICKERS"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} tickers were given; a watchlist has at most {MAX_TICKERS}")


class SymbolsUnknown(ServiceError):
    """Some symbols name no instrument, or several; the message names them all, and what is no symbol with them."""

    code = Code.INVALID_ARGUMENT
    reason = "SYMBOLS_UNKNOWN"

    def __init__(self, refused: Mapping[str, Refusal], malformed: Sequence[str] = ()) -> None:
        unknown = {symbol: each for symbol, each in refused.items() if isinstance(each, SymbolUnknown)}
        nowhere = [symbol for symbol, refusal in unknown.items() if not refusal.advice]
        elsewhere = {symbol: refusal for symbol, refusal in unknown.items() if refusal.advice}
        ambiguous = [refusal.message for symbol, refusal in refused.items() if symbol not in unknown]
        kinds = sum(map(bool, (nowhere, malformed, elsewhere, ambiguous)))
        # None of them may leave no room for another.
        room = MAX_LISTED_LENGTH if kinds == 1 else (MAX_LISTED_LENGTH - _WHY_LENGTH) // kinds
        sentences = [
            *([_unknown_sentence(nowhere, room)] if nowhere else []),
            *([invalid_sentence(malformed, max_length=room)] if malformed else []),
            *_elsewhere_sentences(elsewhere, room),
            *ambiguous,
        ]
        super().__init__(f"{listed(sentences, separator='; ')}; the watchlist is as it was")


def _elsewhere_sentences(unknown: Mapping[str, SymbolUnknown], max_length: int) -> Sequence[str]:
    """Say how to write what other markets list; of many, which they are."""
    sentences = [refusal.message for refusal in unknown.values()]
    if len("; ".join(sentences)) <= max_length:
        return sentences
    why = "are not listed in this market; write the exchange too, such as NSE:TCS"
    return [f"{listed(unknown, max_length=max_length - len(why))} {why}"]


def _unknown_sentence(symbols: Sequence[str], max_length: int) -> str:
    names = "names" if len(symbols) == 1 else "name"
    # A bare symbol is looked for in the United States alone; another market's may be what was meant.
    hint = "" if all(":" in symbol for symbol in symbols) else "; write the exchange too, such as NSE:TCS"
    return f"{listed(symbols, max_length=max_length - len(hint))} {names} no known instrument{hint}"


@dataclass(frozen=True, slots=True)
class WatchlistName:
    """What a watchlist is called; its id is no other watchlist's of any user."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class WatchedTicker:
    """One instrument of a watchlist.

    Attributes:
        symbol: as its owner wrote it, upper case.
        instrument: `EXCHANGE:SYMBOL`.
        name: what it was called when it was put there.
    """

    symbol: str
    instrument: str
    name: str


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A watchlist with its tickers in their owner's order, no instrument twice."""

    id: int
    name: str
    tickers: tuple[WatchedTicker, ...]


@dataclass(frozen=True, slots=True)
class PricedWatchlist:
    """A watchlist and the prices there are, by instrument."""

    watchlist: Watchlist
    prices: Mapping[str, TickerPrice]


def require_room_for_watchlist(count: int) -> None:
    """Refuse one watchlist more than there may be.

    Raises:
        TooManyWatchlists: there are a hundred.
    """
    if count >= MAX_WATCHLISTS:
        raise TooManyWatchlists
