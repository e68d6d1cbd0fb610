"""The instruments that sources without a list of their own have: real names and sectors.

The price levels beside them are those near which the sample market's made-up prices stay; no other source reads them.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from market.domain.instruments import Exchange, Instrument, InstrumentKind

FINE_STEPS_BELOW_RUPEES = 250.0
PIPETTES_BELOW = 20.0


@dataclass(frozen=True, slots=True)
class Listed:
    """One instrument.

    Attributes:
        instrument: what it is.
        price: the level its made-up prices wander around, in its currency.
        steps_per_unit: how many price steps make one unit of the currency.
    """

    instrument: Instrument
    price: float
    steps_per_unit: int


def read_listing() -> Sequence[Listed]:
    """Read the list that ships with the package."""
    text = files(__package__).joinpath("instruments.csv").read_text(encoding="utf-8")
    return parse_listing(text.splitlines())


def parse_listing(lines: Iterable[str]) -> Sequence[Listed]:
    """Read rows of `exchange,symbol,name,kind,currency,sector,price`."""
    return [_listed(row) for row in csv.DictReader(lines)]


def _listed(row: dict[str, str]) -> Listed:
    exchange = Exchange(row["exchange"])
    instrument = Instrument(
        id=f"{exchange}:{row['symbol']}",
        exchange=exchange,
        symbol=row["symbol"],
        name=row["name"],
        kind=InstrumentKind(row["kind"]),
        currency=row["currency"],
        sector=row["sector"] or None,
    )
    price = float(row["price"])
    return Listed(instrument, price, _steps_per_unit(instrument, price))


def _steps_per_unit(instrument: Instrument, price: float) -> int:
    if instrument.kind is InstrumentKind.CURRENCY_PAIR:
        return 100_000 if price < PIPETTES_BELOW else 1_000
    has_rupee_steps = instrument.currency == "INR" and price >= FINE_STEPS_BELOW_RUPEES
    return 20 if has_rupee_steps else 100
