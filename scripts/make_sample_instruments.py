"""Refresh or check the instruments of the sample market.

    python scripts/make_sample_instruments.py            rows sorted, US shares named anew, the file written
    python scripts/make_sample_instruments.py --check    nothing written; ends with 1 when a fresh file would differ

Which rows there are, the sectors and the price levels are kept by hand in the file itself: they are facts, and no
package holds those of India. Names of US shares come from pytickersymbols (MIT), which only this script needs.
"""

import argparse
import csv
import importlib.util
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

FILE = Path(__file__).parents[1] / "services/market/src/market/providers/reference/instruments.csv"
COLUMNS = ("exchange", "symbol", "name", "kind", "currency", "sector", "price")
EXCHANGES = ("INDEX", "NSE", "BSE", "NASDAQ", "NYSE", "AMEX", "FX")
KIND_OF_EXCHANGE = {"INDEX": {"INDEX"}, "FX": {"CURRENCY_PAIR"}}
SHARES = {"EQUITY", "FUND"}
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.&_-]{0,23}")
PRICE = re.compile(r"\d+(\.\d+)?")
INDICES = ("S&P 500", "NASDAQ 100", "DOW JONES")
NEEDED = (
    *("INDEX:NIFTY50", "INDEX:BANKNIFTY", "INDEX:SENSEX", "INDEX:SP500", "INDEX:NASDAQ", "INDEX:DJI"),
    *("NSE:TCS", "NSE:INFY", "NSE:RELIANCE", "BSE:HDFCBANK", "FX:EURUSD", "FX:GBPUSD", "FX:USDJPY"),
    *("NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOGL", "NASDAQ:TSLA", "NASDAQ:NVDA"),
)

Row = dict[str, str]


def problems(rows: Sequence[Row]) -> list[str]:
    """Return what is wrong with the rows, each problem naming its row."""
    found = [f"{_id(row)}: {problem}" for row in rows for problem in _row_problems(row)]
    counts = Counter(_id(row) for row in rows)
    found += [f"{each}: listed {count} times" for each, count in counts.items() if count > 1]
    found += [f"{each}: the API documents use it, and it is missing" for each in NEEDED if each not in counts]
    return found


def _row_problems(row: Row) -> Iterable[str]:
    if row["exchange"] not in EXCHANGES:
        yield f"unknown exchange {row['exchange']!r}"
    if not SYMBOL.fullmatch(row["symbol"]):
        yield "its symbol is malformed"
    if row["kind"] not in KIND_OF_EXCHANGE.get(row["exchange"], SHARES):
        yield f"kind {row['kind']!r} does not fit the exchange"
    if (row["kind"] == "EQUITY") != bool(row["sector"]):
        yield "a share has a sector, and nothing else has one"
    if not row["name"].strip():
        yield "it has no name"
    if not PRICE.fullmatch(row["price"]) or float(row["price"]) <= 0:
        yield f"price {row['price']!r} is not a positive number"


def refreshed(rows: Sequence[Row], names: dict[str, str]) -> list[Row]:
    """Return the rows with fresh names where a US share has one, in the file's order."""
    fresh = [row | {"name": names.get(row["symbol"], row["name"])} if _is_us_share(row) else row for row in rows]
    return sorted(fresh, key=lambda row: (EXCHANGES.index(row["exchange"]), row["symbol"]))


def us_names() -> dict[str, str]:
    """Return names by symbol from pytickersymbols, without Wikipedia's disambiguations; empty when not installed."""
    if importlib.util.find_spec("pytickersymbols") is None:
        print("pytickersymbols is not installed: names stay as they are", file=sys.stderr)
        return {}
    from pytickersymbols import PyTickerSymbols  # type: ignore[import-not-found]  # noqa: PLC0415

    directory = PyTickerSymbols()
    stocks = [stock for index in INDICES for stock in directory.get_stocks_by_index(index)]
    return {stock["symbol"]: re.sub(r"\s*\([a-z][^)]*\)$", "", stock["name"]) for stock in stocks}


def rendered(rows: Sequence[Row]) -> str:
    """Return the rows as the file's text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _is_us_share(row: Row) -> bool:
    return row["kind"] == "EQUITY" and row["currency"] == "USD"


def _id(row: Row) -> str:
    return f"{row['exchange']}:{row['symbol']}"


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when something is wrong or stale")
    is_check = parser.parse_args().check
    current = FILE.read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(current)))
    wrong = problems(rows)
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    fresh = rendered(refreshed(rows, us_names()))
    if is_check:
        print(f"{len(rows)} instruments, {'current' if fresh == current else 'stale: run without --check'}")
        return int(fresh != current)
    temporary = FILE.with_suffix(".tmp")
    temporary.write_text(fresh, encoding="utf-8")
    temporary.replace(FILE)
    print(f"{len(rows)} instruments written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
