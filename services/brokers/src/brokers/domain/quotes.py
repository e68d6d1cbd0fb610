"""What a broker says an instrument costs."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BrokerQuote:
    """A broker's price of one instrument.

    Attributes:
        instrument: `EXCHANGE:SYMBOL`.
        last_price: the last traded price, above 0.
        as_of: when the price was made, by the exchange.
        previous_close: the previous session's close; None when unknown.
        open: the session's first price; None before it.
        high: the session's highest; None before its first.
        low: the session's lowest; None before its first.
        volume: the units traded in the session; None where there is no volume.
    """

    instrument: str
    last_price: float
    as_of: datetime
    previous_close: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None
