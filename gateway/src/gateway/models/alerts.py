"""Price alerts as clients see and send them."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.params import SymbolText
from gateway.reply import DateTime, Freshness, From, Money, Reply

MAX_PRICE_DIGITS = 20
MAX_PRICE_DECIMALS = 8


class Alert(Reply):
    """One alert, armed or fired."""

    id: str
    type: Literal["buy", "sell"]
    symbol: str
    instrument: str
    price: Money
    created_at: DateTime
    updated_at: DateTime | None
    fired_at: DateTime | None
    fired_price: float | None
    source: Annotated[str | None, From("provenance.source")]
    as_of: Annotated[DateTime | None, From("provenance.as_of")]
    freshness: Annotated[Freshness | None, From("provenance.freshness")]


class AlertList(Reply):
    """All alerts of a user by type, oldest first."""

    buy: list[Alert]
    sell: list[Alert]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic reports ValueError alone
    return value


TargetPrice = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, max_digits=MAX_PRICE_DIGITS, decimal_places=MAX_PRICE_DECIMALS, description="Above 0."),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 999_999_999_999, "description": "Above 0."}),
]


class NewAlert(BaseModel):
    """An alert to set: buy fires at or below the price, sell at or above it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["buy", "sell"]
    symbol: SymbolText
    price: TargetPrice
