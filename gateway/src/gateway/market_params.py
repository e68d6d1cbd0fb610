"""What the routes of market data take from paths and queries: symbols, days, limits and switches.

Each is checked before any service is asked, and its schema says what is taken: what the framework would read beside it,
such as `yes` for a switch or ` 5` for a number, is refused.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.board import MAX_QUOTED_SYMBOLS, SYMBOL_LIST_PATTERN, SYMBOL_PATTERN
from gateway.errors import InvalidRequest
from gateway.params import MAX_LIST_LENGTH, MAX_SYMBOL_LENGTH, symbols_from

MAX_LIMIT = 50
MAX_PAGE = 1_000
MAX_EXCHANGES = 10
MAX_NAME_LENGTH = 32
MAX_QUERY_LENGTH = 64

_NAME = "[A-Za-z][A-Za-z0-9_-]{0,15}"
NAME_PATTERN = f"^{_NAME}$"
EXCHANGE_LIST_PATTERN = f"^[ ,]*{_NAME}(?: *,[ ,]*{_NAME}){{0,{MAX_EXCHANGES - 1}}}[ ,]*$"
INSTRUMENT_NAME_PATTERN = "^(?:[A-Za-z]{2,10}:|\\^)?[A-Za-z0-9][A-Za-z0-9.&_-]{0,28}(?:=[Xx])?$"
SEARCH_PATTERN = "^[^\\x00-\\x1f\\x7f]*[^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*$"
DAY_PATTERN = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
WHOLE_NUMBER = re.compile("0|[1-9][0-9]{0,5}")
SWITCHES = {"true": True, "false": False}

_DAY = re.compile(DAY_PATTERN)


class DaysReversed(InvalidRequest):
    """A stretch that ends before it begins."""

    def __init__(self) -> None:
        super().__init__("from_date is after to_date")


class ExchangesMissing(InvalidRequest):
    """A list of exchanges without any."""

    def __init__(self) -> None:
        super().__init__("Name at least one exchange, such as NASDAQ")


class TooManyExchanges(InvalidRequest):
    """A list of more exchanges than one answer holds."""

    def __init__(self, count: int) -> None:
        super().__init__(f"At most {MAX_EXCHANGES} exchanges can be asked for at once, not {count}")


class ExchangeMalformed(InvalidRequest):
    """Something that cannot be an exchange."""

    def __init__(self) -> None:
        super().__init__("Each exchange is a name such as NASDAQ")


class Days(NamedTuple):
    """A stretch of days, both ends in it, `YYYY-MM-DD`; empty where the caller leaves it to the service."""

    first: str
    last: str


# --- how a text is checked ------------------------------------------------------------------------------------------


def _matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"is not {what}")
        return text

    return AfterValidator(check)


def _whole(first: int, last: int) -> BeforeValidator:
    def check(text: str) -> str:
        if WHOLE_NUMBER.fullmatch(text) is None or not first <= int(text) <= last:
            raise ValueError(f"must be a whole number from {first} to {last:,}")
        return text

    return BeforeValidator(check)


def _switch(text: str) -> bool:
    if text.lower() not in SWITCHES:
        raise ValueError("must be true or false")
    return SWITCHES[text.lower()]


def _plain(text: str) -> str:
    # What is split at commas is stripped, and Python takes more for blanks than the lists' schemas do.
    if any(character.isspace() and character != " " for character in text):
        raise ValueError("has a blank that is no space")
    return text


def _day(text: str) -> str:
    if _DAY.fullmatch(text) is not None:
        try:
            date.fromisoformat(text)
        except ValueError:
            pass
        else:
            return text
    raise ValueError("must be a day, YYYY-MM-DD")


# --- symbols --------------------------------------------------------------------------------------------------------

_SYMBOL_CHECK = _matching(SYMBOL_PATTERN, "a symbol such as AAPL or NSE:TCS")


def _one_of(description: str, example: str) -> Any:
    return Path(
        min_length=1,
        max_length=MAX_SYMBOL_LENGTH,
        description=description,
        examples=[example],
        json_schema_extra={"pattern": SYMBOL_PATTERN},
    )


def _list_of(place: Any, name: str, description: str, example: str) -> Any:
    return place(
        alias=name,
        min_length=1,
        max_length=MAX_LIST_LENGTH,
        description=description,
        examples=[example],
        json_schema_extra={"pattern": SYMBOL_LIST_PATTERN},
    )


_STOCKS = f"Comma list of 1 to {MAX_QUOTED_SYMBOLS} symbols; a bare one means a listing in the United States."
_MORE = f"Comma list of symbols beside those of the path, at most {MAX_QUOTED_SYMBOLS} with them."
_PAIRS = f"Comma list of 1 to {MAX_QUOTED_SYMBOLS} currency pairs."

# The length is looked at first, so that what is said of it is said of a text.
_ListText = Annotated[str, Field(min_length=1, max_length=MAX_LIST_LENGTH), AfterValidator(_plain)]
_StocksInPath = Annotated[_ListText, _list_of(Path, "symbols", _STOCKS, "AAPL,MSFT")]
_StocksInQuery = Annotated[_ListText, _list_of(Query, "symbols", _STOCKS, "AAPL,MSFT")]
_MoreStocks = Annotated[
    _ListText | None,
    _list_of(Query, "symbols", _MORE, "MSFT,GOOGL"),
    WithJsonSchema({"type": "string", "pattern": SYMBOL_LIST_PATTERN, "maxLength": MAX_LIST_LENGTH}),
]
_PairsInQuery = Annotated[_ListText, _list_of(Query, "pairs", _PAIRS, "EURUSD,GBPUSD")]


async def _stocks(text: _StocksInPath) -> list[str]:
    return symbols_from(text, MAX_QUOTED_SYMBOLS)


async def _stocks_in_query(text: _StocksInQuery) -> list[str]:
    return symbols_from(text, MAX_QUOTED_SYMBOLS)


async def _stocks_anywhere(text: _StocksInPath, more: _MoreStocks = None) -> list[str]:
    return symbols_from(text if more is None else f"{text},{more}", MAX_QUOTED_SYMBOLS)


async def _pairs(text: _PairsInQuery) -> list[str]:
    return symbols_from(text, MAX_QUOTED_SYMBOLS, name="pairs")


Stock = Annotated[str, _one_of("A symbol; a bare one means a listing in the United States.", "AAPL"), _SYMBOL_CHECK]
Pair = Annotated[str, _one_of("A currency pair.", "EURUSD"), _SYMBOL_CHECK]
Stocks = Annotated[list[str], Depends(_stocks)]
StocksInQuery = Annotated[list[str], Depends(_stocks_in_query)]
StocksAnywhere = Annotated[list[str], Depends(_stocks_anywhere)]
Pairs = Annotated[list[str], Depends(_pairs)]

# --- days -----------------------------------------------------------------------------------------------------------


def _at_most(length: str) -> str:
    return f"at most {length} after the first; without it today, or {length} after the first if that is earlier"


_DAY_SCHEMA = WithJsonSchema({"type": "string", "format": "date", "pattern": DAY_PATTERN})
_Day = Annotated[str, AfterValidator(_day)]
_FromDate = Annotated[
    _Day | None, Query(description="The first day, YYYY-MM-DD; without a last one tomorrow at most."), _DAY_SCHEMA
]
_ToDate = Annotated[_Day | None, Query(description="The last day, YYYY-MM-DD; without it today."), _DAY_SCHEMA]
_ToDateOfDays = Annotated[
    _Day | None, Query(description=f"The last day, YYYY-MM-DD, {_at_most('31 days')}."), _DAY_SCHEMA
]
_ToDateOfYears = Annotated[
    _Day | None, Query(description=f"The last day, YYYY-MM-DD, {_at_most('five years')}."), _DAY_SCHEMA
]


async def _days(from_date: _FromDate = None, to_date: _ToDate = None) -> Days:
    return _in_order(from_date, to_date)


async def _31_days(from_date: _FromDate = None, to_date: _ToDateOfDays = None) -> Days:
    return _in_order(from_date, to_date)


async def _five_years(from_date: _FromDate = None, to_date: _ToDateOfYears = None) -> Days:
    return _in_order(from_date, to_date)


def _in_order(from_date: str | None, to_date: str | None) -> Days:
    if from_date is not None and to_date is not None and from_date > to_date:
        raise DaysReversed
    return Days(from_date or "", to_date or "")


async def _timeframe(
    timeframe: Annotated[
        Literal["1day"], Query(description="What one row is of; there are daily rows alone.")
    ] = "1day",
) -> str:
    return timeframe


Stretch = Annotated[Days, Depends(_days)]
StretchOfDays = Annotated[Days, Depends(_31_days)]
StretchOfYears = Annotated[Days, Depends(_five_years)]
DAILY_ALONE = Depends(_timeframe)

# --- how much, and in which form ------------------------------------------------------------------------------------

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description=f"How many, 1 to {MAX_LIMIT}."), _whole(1, MAX_LIMIT)]
Page = Annotated[int, Query(ge=0, le=MAX_PAGE, description="Which page, from 0."), _whole(0, MAX_PAGE)]
_Long = Annotated[
    bool, Query(description="Whether figures of the past year and of the company come too."), BeforeValidator(_switch)
]


async def _long(long: _Long = False) -> bool:
    return long


# A dependency, so that the API's description names it after the symbols, as the documents do.
Long = Annotated[bool, Depends(_long)]
Metadata = Annotated[
    bool,
    Query(description="Whether each row also says which instrument it is and where it comes from."),
    BeforeValidator(_switch),
]
Adjusted = Annotated[
    Literal["raw", "split", "all"],
    Query(description="What past prices are adjusted for: nothing, splits, or splits and dividends."),
]
StatementType = Annotated[Literal["income", "balance-sheet", "cash-flow"], Query(alias="type", description="Which.")]
Period = Annotated[
    Literal["Q1", "Q2", "Q3", "Q4", "FY"] | None,
    Query(description="Which part of fiscal years; without it the whole."),
    WithJsonSchema({"type": "string", "enum": ["Q1", "Q2", "Q3", "Q4", "FY"]}),
]
Format = Annotated[Literal["json", "csv"], Query(alias="format", description="The form of the answer.")]

# --- names ----------------------------------------------------------------------------------------------------------

_EXCHANGE_NAME = re.compile(NAME_PATTERN)

Exchange = Annotated[
    str,
    Path(
        json_schema_extra={"pattern": NAME_PATTERN},
        max_length=16,
        description="An exchange, in any case.",
        examples=["NASDAQ"],
    ),
    _matching(NAME_PATTERN, "an exchange such as NASDAQ"),
]
Index = Annotated[
    str,
    Path(
        json_schema_extra={"pattern": NAME_PATTERN},
        max_length=16,
        description="SP500, NASDAQ, DJI, NIFTY50, BANKNIFTY or SENSEX, in any case.",
        examples=["DJI"],
    ),
    _matching(NAME_PATTERN, "an index such as SP500"),
]
InstrumentName = Annotated[
    str,
    Path(
        json_schema_extra={"pattern": INSTRUMENT_NAME_PATTERN},
        max_length=MAX_NAME_LENGTH,
        description="Any name of an instrument: NSE:TCS, TCS.NS, an ISIN, kite:2953217.",
        examples=["NSE:TCS"],
    ),
    _matching(INSTRUMENT_NAME_PATTERN, "the name of an instrument, such as NSE:TCS, TCS.NS or INE467B01029"),
]
SearchText = Annotated[
    str,
    Query(
        alias="q",
        min_length=1,
        max_length=MAX_QUERY_LENGTH,
        description="A symbol, a name or an identifier, or the beginning of one.",
        examples=["tata con"],
        json_schema_extra={"pattern": SEARCH_PATTERN},
    ),
    _matching(SEARCH_PATTERN, "something to search for"),
]
_ExchangeList = Annotated[
    str,
    AfterValidator(_plain),
    Path(
        alias="exchanges",
        max_length=1_000,
        description=f"Comma list of 1 to {MAX_EXCHANGES} exchanges, in any case.",
        examples=["NASDAQ,NYSE"],
        json_schema_extra={"pattern": EXCHANGE_LIST_PATTERN},
    ),
]


async def _exchanges(text: _ExchangeList) -> list[str]:
    names = list(dict.fromkeys(name.strip().upper() for name in text.split(",") if name.strip()))
    if not names:
        raise ExchangesMissing
    if len(names) > MAX_EXCHANGES:
        raise TooManyExchanges(len(names))
    if not all(_EXCHANGE_NAME.fullmatch(name) for name in names):
        raise ExchangeMalformed
    return names


ExchangeNames = Annotated[list[str], Depends(_exchanges)]
