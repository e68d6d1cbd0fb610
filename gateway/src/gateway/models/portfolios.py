"""Portfolios that users enter by hand, as clients see and send them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from bourse.portfolio.v1 import manual_portfolios_pb2 as pb
from gateway.models.amounts import DIGITS, decimal_of, to_eight_decimals
from gateway.params import NameText, WrittenSymbol
from gateway.reply import From, Money, Quantity, Reply, always

MAX_STOCKS = 500
AMOUNT_END = 1_000_000_000_000
AMOUNT_DIGITS = f"At most 12 digits before the point. {DIGITS}"


class Stock(Reply):
    """One stock of a portfolio; `total_cost` is what all of its `quantity` cost together."""

    symbol: str
    quantity: Quantity
    total_cost: Money
    instrument: str


class Portfolio(Reply):
    """A portfolio with its stocks in the order they were first added."""

    id: int
    name: str
    stocks: list[Stock]


def _message_of(put: pb.PutStocksResponse) -> str:
    return f"Successfully processed {put.processed} stock(s)"


class StocksPut(Reply):
    """The portfolio after stocks were added or replaced."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, From(_message_of)]
    portfolio: Portfolio


class PortfolioDeleted(Reply):
    """A portfolio that is gone."""

    success: Annotated[bool, always(True)]


class StockRemoved(Reply):
    """A stock that is gone."""

    message: Annotated[str, From(lambda removed: f"Stock {removed.symbol} removed from portfolio")]


class PortfolioName(BaseModel):
    """What a portfolio is to be called."""

    model_config = ConfigDict(extra="forbid")

    name: NameText


def _amount(value: Any) -> str:
    """Return a JSON number as a decimal: its service says which row cannot be."""
    amount = decimal_of(value)
    # abs() and whatever else computes would overflow at an exponent that a client is free to write.
    if amount.copy_abs() >= AMOUNT_END:
        return str(amount)
    rounded = to_eight_decimals(amount)
    # What rounding leaves nothing of stays what was sent.
    return str(amount if rounded == amount else rounded or amount)


Units = Annotated[
    str,
    BeforeValidator(_amount),
    WithJsonSchema(
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": AMOUNT_END, "description": AMOUNT_DIGITS}
    ),
]
Cost = Annotated[
    str,
    BeforeValidator(_amount),
    WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": AMOUNT_END, "description": AMOUNT_DIGITS}),
]


class StockEntry(BaseModel):
    """A stock to add, or whose quantity and cost to replace."""

    model_config = ConfigDict(extra="forbid")

    symbol: WrittenSymbol
    quantity: Units
    total_cost: Cost

    @property
    def entries(self) -> "list[StockEntry]":
        """Return the stock as the list that it would be with others."""
        return [self]


class StockEntries(BaseModel):
    """Stocks to add or to replace, all or none; no symbol twice."""

    model_config = ConfigDict(extra="forbid")

    stocks: Annotated[list[StockEntry], Field(min_length=1, max_length=MAX_STOCKS)]

    @property
    def entries(self) -> list[StockEntry]:
        """Return the stocks."""
        return self.stocks


# The mark keeps a tag apart from a field in an error's location.
ONE_TAG, MANY_TAG = "#stock", "#stocks"


def _form_of(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    is_many = "stocks" in body
    is_one = not body.keys().isdisjoint(StockEntry.model_fields)
    if is_many and is_one:
        return None
    return MANY_TAG if is_many else ONE_TAG


StocksToPut = Annotated[
    Annotated[StockEntry, Tag(ONE_TAG)] | Annotated[StockEntries, Tag(MANY_TAG)],
    Discriminator(
        _form_of,
        custom_error_type="one_or_many",
        custom_error_message="Send either symbol, quantity and total_cost, or stocks, a list of them",
    ),
]
