"""What a broker says that a user holds, in one form for all brokers."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

MAX_ROWS = 5_000


class PositionType(StrEnum):
    """Which of a broker's two lists a position is from."""

    NET = "NET"
    DAY = "DAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRow:
    """One holding as the broker gave it; what it did not say is None.

    Attributes:
        exchange: such as `NSE`.
        tradingsymbol: the exchange's symbol, or the broker's own code where that could not be resolved.
        isin: the ISIN.
        product: such as `CNC` or `MTF`.
        quantity: the settled units, 0 or more.
        t1_quantity: the units bought and not settled yet, not part of `quantity`.
        average_price: the mean price paid for a unit, 0 or more.
        last_price: the broker's last price.
        close_price: the previous session's close.
        pnl: the broker's own profit or loss.
        broker_code: the broker's own code for the stock; None where it uses the exchange's.
        collateral_quantity: the units pledged, part of `quantity`.
    """

    exchange: str
    tradingsymbol: str
    quantity: Decimal
    t1_quantity: Decimal
    isin: str | None = None
    product: str | None = None
    average_price: Decimal | None = None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    pnl: Decimal | None = None
    broker_code: str | None = None
    collateral_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """One position as the broker gave it; what it did not say is None.

    Attributes:
        type: which list it is from.
        exchange: such as `NFO`.
        tradingsymbol: the exchange's symbol, or the broker's own code where that could not be resolved.
        product: such as `MIS` or `NRML`.
        quantity: the units, below 0 for a short position, 0 for a closed one.
        overnight_quantity: the units carried from the day before.
        multiplier: by what a quantity is multiplied for its value, above 0.
        average_price: the mean price.
        last_price: the broker's last price.
        close_price: the previous session's close.
        buy_value: what was paid for all units bought.
        sell_value: what was received for all units sold.
        pnl: the broker's own profit or loss.
        m2m: its mark to market of the day.
        realised: its realised profit or loss.
        unrealised: its unrealised profit or loss.
        expiry: a derivative's last day.
        strike: an option's strike price.
        option_type: `CE` or `PE` of an option.
        broker_code: the broker's own code for the stock; None where it uses the exchange's.
    """

    type: PositionType
    exchange: str
    tradingsymbol: str
    quantity: Decimal
    multiplier: Decimal
    product: str | None = None
    overnight_quantity: Decimal | None = None
    average_price: Decimal | None = None
    last_price: Decimal | None = None
    close_price: Decimal | None = None
    buy_value: Decimal | None = None
    sell_value: Decimal | None = None
    pnl: Decimal | None = None
    m2m: Decimal | None = None
    realised: Decimal | None = None
    unrealised: Decimal | None = None
    expiry: date | None = None
    strike: Decimal | None = None
    option_type: str | None = None
    broker_code: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerRows:
    """All a broker said, in its order."""

    holdings: tuple[HoldingRow, ...]
    positions: tuple[PositionRow, ...]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows were stored.

    Attributes:
        holdings: the holdings.
        positions: the positions, net and day.
        net_positions: the net ones among them.
    """

    holdings: int
    positions: int
    net_positions: int
