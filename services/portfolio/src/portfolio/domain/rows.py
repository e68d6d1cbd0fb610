"""What a broker said a user holds, as it said it."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from portfolio.domain.amounts import plus
from portfolio.domain.brokers import Broker
from portfolio.domain.days import day_in_india

# What market lists for India; anything else (derivatives, currencies, commodities) it is never asked for.
QUOTED_EXCHANGES = frozenset({"NSE", "BSE"})
MAX_QUOTED_LENGTH = 32
_QUOTED_FORM = re.compile(r"[A-Z]{1,10}:[A-Z0-9][A-Z0-9.&_-]*")


class PositionType(StrEnum):
    """Which of a broker's two lists a position is from."""

    NET = "net"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Sync:
    """One time at which a broker was asked.

    Attributes:
        id: a UUID.
        user_id: whose rows they are.
        broker: who answered.
        started_at: when the sync was asked for; of two the one of later wins.
        synced_at: when the answers were complete; what the broker's prices are as of.
        is_simulated: whether the rows are the sandbox's.
    """

    id: str
    user_id: str
    broker: Broker
    started_at: datetime
    synced_at: datetime
    is_simulated: bool

    @property
    def date(self) -> date:
        """Return the day in India of the rows."""
        return day_in_india(self.synced_at)


@dataclass(frozen=True, slots=True)
class BrokerHolding:
    """One holding; what the broker did not say is None.

    Attributes:
        exchange: such as `NSE`.
        tradingsymbol: the exchange's symbol, or the broker's own code where that could not be resolved.
        quantity: the settled units, 0 or more.
        t1_quantity: the units bought and not settled yet, not part of `quantity`.
        isin: the ISIN.
        product: such as `CNC`.
        average_price: the mean price paid for a unit; 0 is a price, of what was given.
        last_price: the broker's last price.
        close_price: the previous session's close.
        pnl: the broker's own profit or loss.
        broker_code: the broker's own code.
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

    @property
    def units(self) -> Decimal:
        """Return all units owned, settled or not."""
        return plus(self.quantity, self.t1_quantity)

    @property
    def instrument(self) -> str:
        """Return `EXCHANGE:SYMBOL`."""
        return f"{self.exchange}:{self.tradingsymbol}"


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """One position; what the broker did not say is None.

    Attributes:
        type: which list it is from.
        exchange: such as `NFO`.
        tradingsymbol: the exchange's symbol.
        quantity: the units, below 0 for a short position, 0 for a closed one.
        multiplier: by what a quantity is multiplied for its value, above 0.
        product: such as `MIS`.
        overnight_quantity: the units carried from the day before.
        average_price: the mean price.
        last_price: the broker's last price.
        close_price: the previous session's close.
        buy_value: what was paid for all units bought.
        sell_value: what was received for all units sold.
        pnl: the broker's own profit or loss.
        m2m: the broker's own mark to market of the day.
        realised: the broker's own realised profit or loss.
        unrealised: the broker's own unrealised profit or loss.
        expiry: a derivative's last day.
        strike: an option's strike price.
        option_type: `CE` or `PE`.
        broker_code: the broker's own code.
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

    @property
    def instrument(self) -> str:
        """Return `EXCHANGE:SYMBOL`."""
        return f"{self.exchange}:{self.tradingsymbol}"


BrokerRow = BrokerHolding | BrokerPosition


@dataclass(frozen=True, slots=True)
class SyncedRows:
    """All rows of one broker, in its order, and the sync that brought them."""

    sync: Sync
    holdings: tuple[BrokerHolding, ...]
    positions: tuple[BrokerPosition, ...]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows a sync stored.

    Attributes:
        holdings: its holdings.
        positions: its positions, net and day.
        net_positions: the net ones among them.
    """

    holdings: int
    positions: int
    net_positions: int


@dataclass(frozen=True, slots=True)
class DeletedCounts:
    """How many rows a deletion deleted."""

    holdings: int
    positions: int
    snapshots: int


def counts_of(rows: SyncedRows) -> RowCounts:
    """Count a sync's rows."""
    net = sum(position.type is PositionType.NET for position in rows.positions)
    return RowCounts(len(rows.holdings), len(rows.positions), net)


def quoted_instrument(row: BrokerRow) -> str | None:
    """Return the instrument to ask market for; None when it cannot know it, or would take it for something else.

    A code of the broker's own that stands where the exchange's symbol should be was not resolved, and may be somebody
    else's symbol: ICICI's codes are short names.
    """
    if row.exchange not in QUOTED_EXCHANGES or row.tradingsymbol == row.broker_code:
        return None
    instrument = row.instrument
    if len(instrument) > MAX_QUOTED_LENGTH or _QUOTED_FORM.fullmatch(instrument) is None:
        return None
    return instrument
