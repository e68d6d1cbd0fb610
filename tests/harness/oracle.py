"""What should fire, recomputed from the bars alone; imports nothing of Bourse.

A bar becomes four ticks: open, the extreme nearer to it (the low when both are as near), the other, close, at its
timestamp plus 0, 1, 2 and 3 seconds. Ticks go by time, then by the file's order. Prices are compared as decimals.
"""

import csv
import gzip
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

EXCHANGES = {"AAPL": "NASDAQ", "FB": "NASDAQ", "GOOG": "NASDAQ", "MSFT": "NASDAQ", "IBM": "NYSE"}
Crosses = Callable[[Decimal, Decimal], bool]


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of history."""

    instrument: str
    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


@dataclass(frozen=True, slots=True)
class Tick:
    """One price in time."""

    instrument: str
    at: datetime
    price: Decimal


@dataclass(frozen=True, slots=True)
class PlannedAlert:
    """An alert to set before the replay starts."""

    owner: int
    type: str
    instrument: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Fire:
    """That an alert fires, and at which tick."""

    alert: PlannedAlert
    at: datetime
    price: Decimal


def history() -> list[Bar]:
    """Read the daily bars of bokeh-sampledata: five US stocks, 2000 to 2013, in the file's order."""
    spec = importlib.util.find_spec("bokeh_sampledata")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "_data" / "stocks.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        return [_bar(row) for row in csv.DictReader(file)]


def _bar(row: dict[str, str]) -> Bar:
    symbol = row["Ticker"]
    return Bar(
        instrument=f"{EXCHANGES[symbol]}:{symbol}",
        at=datetime.fromisoformat(row["Date"]).replace(tzinfo=UTC),
        open=Decimal(row["Open"]),
        high=Decimal(row["High"]),
        low=Decimal(row["Low"]),
        close=Decimal(row["Close"]),
        volume=int(row["Volume"]),
    )


def write_replay(bars: Iterable[Bar], path: Path) -> None:
    """Write bars as the replay source reads them."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "timestamp", "open", "high", "low", "close", "volume"])
        for bar in bars:
            prices = [bar.open, bar.high, bar.low, bar.close]
            writer.writerow([bar.instrument, bar.at.date().isoformat(), *prices, bar.volume])


def ticks(bars: Sequence[Bar]) -> list[Tick]:
    """Turn bars into the ticks of the replay, in its order."""
    placed = [(tick.at, place, tick) for place, bar in enumerate(bars) for tick in _four_ticks(bar)]
    placed.sort(key=lambda entry: entry[:2])
    return [tick for _, _, tick in placed]


def _four_ticks(bar: Bar) -> list[Tick]:
    low_is_nearer = bar.open - bar.low <= bar.high - bar.open
    first, second = (bar.low, bar.high) if low_is_nearer else (bar.high, bar.low)
    prices = (bar.open, first, second, bar.close)
    return [Tick(bar.instrument, bar.at + timedelta(seconds=offset), price) for offset, price in enumerate(prices)]


def plan(bars: Sequence[Bar], owners: int) -> list[PlannedAlert]:
    """Lay alerts exactly on lows and highs of bars and inside gaps between them, one pair an owner and instrument.

    An owner's bar wanders through the history, so that fires are spread over all of it; some prices are never reached.
    """
    planned: list[PlannedAlert] = []
    for instrument in sorted({bar.instrument for bar in bars}):
        own = [bar for bar in bars if bar.instrument == instrument]
        for owner in range(owners):
            index = 1 + (owner * 7919) % (len(own) - 1)
            planned += _pair(owner, own[index - 1], own[index])
    return planned


def _pair(owner: int, before: Bar, bar: Bar) -> list[PlannedAlert]:
    if owner % 3 == 0:
        # A gap: a price that was jumped over, never traded, still crosses.
        between = ((before.close + bar.open) / 2).quantize(Decimal("0.00000001"))
        buy, sell = between, between
    elif owner % 3 == 1:
        buy, sell = bar.low, bar.high
    else:
        # A whisker beyond the bar's own range: only another day can reach it.
        buy, sell = bar.low - Decimal("0.01"), bar.high + Decimal("0.01")
    return [
        PlannedAlert(owner, "buy", bar.instrument, buy.normalize()),
        PlannedAlert(owner, "sell", bar.instrument, sell.normalize()),
    ]


def at_or_below(price: Decimal, target: Decimal) -> bool:
    """Say whether a buy alert fires."""
    return price <= target


def at_or_above(price: Decimal, target: Decimal) -> bool:
    """Say whether a sell alert fires."""
    return price >= target


def fires(
    stream: Sequence[Tick], alerts: Sequence[PlannedAlert], buys: Crosses = at_or_below, sells: Crosses = at_or_above
) -> list[Fire]:
    """Return the fires in the order of their ticks: for each alert the first tick that crosses its price."""
    waiting: dict[str, list[PlannedAlert]] = {}
    for alert in alerts:
        waiting.setdefault(alert.instrument, []).append(alert)
    fired: list[Fire] = []
    for tick in stream:
        armed = waiting.get(tick.instrument, [])
        hit = [alert for alert in armed if (buys if alert.type == "buy" else sells)(tick.price, alert.price)]
        if hit:
            waiting[tick.instrument] = [alert for alert in armed if alert not in hit]
            fired += [Fire(alert, tick.at, tick.price) for alert in hit]
    return fired
