"""Trading before and after a session."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AfterMarketTrade:
    """The last trade outside the session.

    Attributes:
        price: in the instrument's currency.
        at: when.
        size: units traded; None when the source does not say.
    """

    price: float
    at: datetime
    size: int | None = None


@dataclass(frozen=True, slots=True)
class AfterMarketQuote:
    """What is bid and asked outside the session; None is what the source does not say.

    Attributes:
        at: when.
        bid_price: the highest bid, in the instrument's currency.
        bid_size: units bid for.
        ask_price: the lowest offer.
        ask_size: units offered.
        volume: units traded outside the session.
    """

    at: datetime
    bid_price: float | None = None
    bid_size: int | None = None
    ask_price: float | None = None
    ask_size: int | None = None
    volume: int | None = None
