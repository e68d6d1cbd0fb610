"""Price alerts as clients see and send them."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from gateway.params import SymbolText
from gateway.reply import DateTime, Freshness, From, Money, Reply

MAX_PRICE = 999_999_999_999
SMALLEST_PRICE = Decimal("0.00000001")


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


def _price(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic reports ValueError alone
    if not 0 < value <= MAX_PRICE:
        raise ValueError(f"must be above 0 and at most {MAX_PRICE:,}")
    # What a client computes in binary has digits nobody meant.
    rounded = Decimal(value).quantize(SMALLEST_PRICE, ROUND_HALF_EVEN)
    if rounded == 0:
        raise ValueError(f"must be at least {SMALLEST_PRICE:f}")
    return rounded.normalize()


TargetPrice = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema(
        {
            "type": "number",
            "minimum": float(SMALLEST_PRICE),
            "maximum": MAX_PRICE,
            "description": "Rounded to eight decimals.",
        }
    ),
]


class NewAlert(BaseModel):
    """An alert to set: buy fires at or below the price, sell at or above it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["buy", "sell"]
    symbol: SymbolText
    price: TargetPrice
