"""What routes take from paths, queries and connections, checked before any service is asked."""

import re
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.board import MAX_QUOTED_SYMBOLS, SYMBOL_LIST_PATTERN, SYMBOL_PATTERN, is_symbol, split_symbols
from gateway.errors import ApiError, InvalidRequest
from gateway.wire import incoming_of

MAX_SYMBOL_LENGTH = 32
MAX_STREAMED_SYMBOLS = 200
MAX_LIST_LENGTH = 10_000
SHOWN_SYMBOLS = 5
MAX_DAYS = 365
MAX_ID = 2**63 - 1
MAX_NAME_LENGTH = 100

# What services take beyond this, such as no blanks alone in other scripts, no pattern can say.
NAME_PATTERN = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\x00-\\x20\\x7f-\\xa0][^\\x00-\\x1f\\x7f-\\x9f]*$"

_DAYS = re.compile(r"[1-9][0-9]{0,2}")
_ID = re.compile(r"[1-9][0-9]{0,18}")


class SymbolMalformed(InvalidRequest):
    """Something that cannot be a symbol."""

    def __init__(self, symbols: list[str]) -> None:
        shown = ", ".join(symbol[:MAX_SYMBOL_LENGTH] for symbol in symbols[:SHOWN_SYMBOLS])
        super().__init__(f"Not a symbol: {shown}")


class SymbolsMissing(InvalidRequest):
    """A list of symbols without any."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Missing required field: {name}")


class TooManySymbols(InvalidRequest):
    """A list of more symbols than one request may have."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"At most {limit} symbols can be asked for at once, not {count}")


class ExchangeMissing(InvalidRequest):
    """A symbol that does not say of which exchange."""

    def __init__(self, symbols: list[str]) -> None:
        super().__init__(f"Write each symbol with its exchange, such as NSE:TCS: {', '.join(symbols[:SHOWN_SYMBOLS])}")


class PortfolioNotFound(ApiError):
    """No portfolio can have such an id."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Portfolio not found")


class WatchlistNotFound(ApiError):
    """No watchlist can have such an id."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("Watchlist not found")


def _checked(symbol: str) -> str:
    if not is_symbol(symbol):
        raise ValueError("is not a symbol such as NSE:TCS or AAPL")
    return symbol


SymbolText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SYMBOL_LENGTH,
        examples=["NSE:TCS"],
        json_schema_extra={"pattern": SYMBOL_PATTERN},
    ),
    AfterValidator(_checked),
]
WrittenSymbol = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SYMBOL_LENGTH,
        description="`EXCHANGE:SYMBOL`, or bare for a listing in the United States; in any case.",
        examples=["AAPL"],
        json_schema_extra={"pattern": SYMBOL_PATTERN},
    ),
]
"""A symbol in a list, whose form its service judges: it names all rows that are wrong at once."""
NameText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="No control characters, and not blanks alone; two may have the same name.",
        json_schema_extra={"pattern": NAME_PATTERN},
    ),
]


def symbols_from(text: str, limit: int, *, name: str = "symbols") -> list[str]:
    """Return the symbols of a comma list, which callers know by a name: order kept, duplicates folded.

    Raises:
        SymbolsMissing: there is none.
        TooManySymbols: there are more than `limit`.
        SymbolMalformed: some cannot be symbols.
    """
    symbols = split_symbols([text])
    if not symbols:
        raise SymbolsMissing(name)
    if len(symbols) > limit:
        raise TooManySymbols(len(symbols), limit)
    malformed = [symbol for symbol in symbols if not is_symbol(symbol)]
    if malformed:
        raise SymbolMalformed(malformed)
    return symbols


_QuoteList = Annotated[
    str,
    Query(
        alias="symbols",
        min_length=1,
        max_length=MAX_LIST_LENGTH,
        description=f"Comma list of 1 to {MAX_QUOTED_SYMBOLS} symbols; a bare one means NSE.",
        examples=["NSE:TCS,NSE:INFY"],
        json_schema_extra={"pattern": SYMBOL_LIST_PATTERN},
    ),
]
_StreamList = Annotated[
    str,
    Query(
        alias="symbols",
        min_length=1,
        max_length=MAX_LIST_LENGTH,
        description=f"Comma list of 1 to {MAX_STREAMED_SYMBOLS} symbols, each with its exchange.",
        examples=["NSE:TCS,NASDAQ:AAPL"],
        json_schema_extra={"pattern": SYMBOL_LIST_PATTERN},
    ),
]


async def _quoted_symbols(text: _QuoteList) -> list[str]:
    return symbols_from(text, MAX_QUOTED_SYMBOLS)


async def _streamed_symbols(text: _StreamList) -> list[str]:
    symbols = symbols_from(text, MAX_STREAMED_SYMBOLS)
    bare = [symbol for symbol in symbols if ":" not in symbol]
    if bare:
        raise ExchangeMissing(bare)
    return symbols


def _days(text: Any) -> Any:
    # The framework's own reading takes 30.0, 3_0 and blanks around it for whole numbers too.
    if isinstance(text, str) and (_DAYS.fullmatch(text) is None or int(text) > MAX_DAYS):
        raise ValueError(f"must be a whole number from 1 to {MAX_DAYS}")
    return text


# A text here, because the framework answers 400 for what is no integer; what names nothing is 404.
_ID_SCHEMA = WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_ID, "examples": [1]})
_PortfolioId = Annotated[
    str, Path(alias="portfolio_id", description="One of the user's own portfolios; anything else is 404."), _ID_SCHEMA
]
_WatchlistId = Annotated[
    str, Path(alias="watchlist_id", description="One of the user's watchlists; anything else is 404."), _ID_SCHEMA
]


def _id_of(text: str) -> int | None:
    """Return the positive 64-bit integer that a text is; None when it is none, or not written plainly."""
    if _ID.fullmatch(text) is None or int(text) > MAX_ID:
        return None
    return int(text)


async def _portfolio_id(text: _PortfolioId) -> int:
    portfolio_id = _id_of(text)
    if portfolio_id is None:
        raise PortfolioNotFound
    return portfolio_id


async def _watchlist_id(text: _WatchlistId) -> int:
    watchlist_id = _id_of(text)
    if watchlist_id is None:
        raise WatchlistNotFound
    return watchlist_id


async def _client_address(request: Request) -> str:
    return incoming_of(request.scope).address


Days = Annotated[
    int,
    Query(ge=1, le=MAX_DAYS, description=f"How many days the trend reaches back, today included, 1 to {MAX_DAYS}."),
    BeforeValidator(_days),
]
QuotedSymbols = Annotated[list[str], Depends(_quoted_symbols)]
StreamedSymbols = Annotated[list[str], Depends(_streamed_symbols)]
ClientAddress = Annotated[str, Depends(_client_address)]
PortfolioId = Annotated[int, Depends(_portfolio_id)]
WatchlistId = Annotated[int, Depends(_watchlist_id)]
