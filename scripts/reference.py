"""Check or make anew the tables of facts that market ships: instruments, aliases, constituents, exchanges.

    python scripts/reference.py                      check the tables; the US constituents where their packages are here
    python scripts/reference.py us                   constituents and ISINs of the US indices, from three packages
    python scripts/reference.py index NIFTY50 LIST   one Indian index and its ISINs, from a list as NSE publishes it
    python scripts/reference.py isins LIST           ISINs alone, from such a list
    python scripts/reference.py kite DUMP            Kite's tokens, from the dump of instruments that Kite publishes

The first needs no network and no package: it is what `make check` can run. `us` needs `pitindex`, `pytickersymbols` and
`index-constitution` (all MIT) in the environment that runs it. `index`, `isins` and `kite` take `--source`, the row of
`sources.csv` that says what the file is and of which day.

Which instruments there are, their sectors and price levels are kept by hand in `instruments.csv`; a level is nothing
but where the sample market's made-up prices stay. Where a source does not say something, the cell is empty.
"""

import argparse
import csv
import importlib.util
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "services/market/src/market/providers/reference"
COLUMNS = {
    "instruments": ("exchange", "symbol", "name", "kind", "currency", "sector", "price", "source"),
    "aliases": ("instrument", "isin", "isin_source", "kite_token", "kite_source"),
    "constituents": (
        *("index", "instrument", "name", "sector", "sub_sector", "head_quarter", "date_first_added", "cik", "founded"),
        "source",
    ),
    "exchanges": (
        *("exchange", "name", "country_name", "country_code", "symbol_suffix", "mic", "timezone", "currency"),
        *("calendar", "source"),
    ),
    "sources": ("source", "as_of", "licence", "description"),
}
EXCHANGES = ("INDEX", "NSE", "BSE", "NASDAQ", "NYSE", "AMEX", "FX")
AMERICAN = ("NASDAQ", "NYSE", "AMEX")
KIND_OF_EXCHANGE = {"INDEX": {"INDEX"}, "FX": {"CURRENCY_PAIR"}}
SHARES = {"EQUITY", "FUND"}
SIZES = {"SP500": (503, 503), "NASDAQ": (100, 104), "DJI": (30, 30), "NIFTY50": (50, 50), "BANKNIFTY": (12, 14)}
SIZES["SENSEX"] = (30, 30)

PACKAGES = {"index_constitution": "index-constitution-1.0.1", "pitindex": "pitindex-0.2.1"}
PACKAGES["pytickersymbols"] = "pytickersymbols-1.17.10"
DATASETS = {"SP500": "sp500", "NASDAQ": "nasdaq100", "DJI": "dow30"}
OTHER_NAMES = ("S&P 500", "NASDAQ 100", "DOW JONES")
# pytickersymbols keeps the ISINs of a company, not of a share class; here it is known which is which.
ISIN_OF_CLASS = {
    "GOOGL": "US02079K3059",
    "GOOG": "US02079K1079",
    "FOXA": "US35137L1052",
    "FOX": "US35137L2043",
    "NWSA": "US65249B1098",
    "NWS": "US65249B2088",
    "BLK": "US09290D1019",
    "GE": "US3696043013",
    "STE": "IE00BFY8C754",
    "TEAM": "US0494681010",
}
# Seats and years that pytickersymbols leaves out or has unclear, from the repository datasets/s-and-p-500-companies.
SUPPLEMENT = "datasets-sp500-2024-06"
SEATS = {
    "ADM": ("Chicago, Illinois", "1902"),
    "BNY": ("New York City, New York", "1784"),
    "CPAY": ("Atlanta, Georgia", "2000"),
    "DTE": ("Detroit, Michigan", "1995"),
    "EG": ("Hamilton, Bermuda", "1973"),
    "ES": ("Hartford, Connecticut", "1966"),
    "GEN": ("Tempe, Arizona", "1982"),
    "HD": ("Atlanta, Georgia", "1978"),
    "JNJ": ("New Brunswick, New Jersey", "1886"),
    "KDP": ("Burlington, Massachusetts", "1981"),
    "MTD": ("Columbus, Ohio", "1945"),
    "NSC": ("Atlanta, Georgia", "1881"),
    "NXPI": ("Eindhoven, Netherlands", "1953"),
    "PCG": ("San Francisco, California", "1905"),
    "PNR": ("Worsley, United Kingdom", "1966"),
    "PODD": ("Acton, Massachusetts", "2000"),
    "RCL": ("Miami, Florida", "1997"),
    "SBAC": ("Boca Raton, Florida", "1989"),
    "SLB": ("Houston, Texas", "1926"),
    "SYK": ("Kalamazoo, Michigan", "1941"),
    "TROW": ("Baltimore, Maryland", "1937"),
    "UBER": ("San Francisco, California", "2009"),
    "VTR": ("Chicago, Illinois", "1998"),
    "WYNN": ("Paradise, Nevada", "2002"),
    "XYL": ("White Plains, New York", "2011"),
}
KITE_INDEX_NAMES = {
    "NIFTY 50": "NIFTY50",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY 500": "NIFTY500",
    "NIFTY AUTO": "NIFTYAUTO",
    "SENSEX": "SENSEX",
}

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.&_-]{0,23}")
PRICE = re.compile(r"\d+(\.\d+)?")
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
CIK = re.compile(r"\d{10}")
YEAR = re.compile(r"\b1[5-9]\d{2}\b|\b20\d{2}\b")
COUNTRY = re.compile(r",?\s*(U\.?\s?S\.?(A\.?)?|United States( of America)?)\s*$")
TOWN_AND_PLACE = 2
COORDINATES = re.compile(r"\s*[\d.]+°")
TOWN = re.compile(r"(?!.*(U\.S\.|Netherlands ))[^\d,:;]{3,24}, [^\d,:;]{3,20}")
BUILDING = re.compile(r"^.*\b(Building|Headquarters|Cent(?:er|re|ral)|Tower|Plaza|Campus|Square|Park|Street)\s+(?=\S)")
NEEDED = (
    *("INDEX:NIFTY50", "INDEX:BANKNIFTY", "INDEX:SENSEX", "INDEX:SP500", "INDEX:NASDAQ", "INDEX:DJI"),
    *("NSE:TCS", "NSE:INFY", "NSE:RELIANCE", "BSE:HDFCBANK", "FX:EURUSD", "FX:GBPUSD", "FX:USDJPY"),
    *("NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:GOOGL", "NASDAQ:TSLA", "NASDAQ:NVDA"),
)

Row = dict[str, str]
Tables = dict[str, list[Row]]


# --- reading and writing


def read_tables() -> Tables:
    """Read every table."""
    return {name: _rows(FOLDER / f"{name}.csv") for name in COLUMNS}


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def rendered(name: str, rows: Iterable[Row]) -> str:
    """Return a table as its file's text, rows in order."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS[name], lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=_order_of(name)))
    return text.getvalue()


def _order_of(name: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if name == "instruments":
        return lambda row: (EXCHANGES.index(row["exchange"]), row["symbol"])
    if name == "constituents":
        return lambda row: (list(SIZES).index(row["index"]), row["instrument"].partition(":")[2])
    return lambda row: (next(iter(row.values())),)


def write_table(name: str, rows: Sequence[Row]) -> None:
    """Put a table in the place of the old one."""
    temporary = FOLDER / f"{name}.tmp"
    temporary.write_text(rendered(name, rows), encoding="utf-8")
    temporary.replace(FOLDER / f"{name}.csv")
    print(f"{name}: {len(rows)} rows written")


# --- what must hold


def problems(tables: Tables) -> list[str]:
    """Return what is wrong with the tables, each problem naming its row."""
    found = [
        *(f"{_id(row)}: {problem}" for row in tables["instruments"] for problem in _instrument_problems(row)),
        *_repeated("instrument", map(_id, tables["instruments"])),
        *(f"{each}: the API documents use it, and it is missing" for each in NEEDED if each not in _ids(tables)),
        *_alias_problems(tables),
        *_constituent_problems(tables),
        *_repeated("exchange", (row["exchange"] for row in tables["exchanges"])),
        *_source_problems(tables),
    ]
    for name, rows in tables.items():
        if rendered(name, rows) != (FOLDER / f"{name}.csv").read_text(encoding="utf-8"):
            found.append(f"{name}.csv: its rows are not in order, or not written as this script writes them")
    return found


def _instrument_problems(row: Row) -> Iterable[str]:
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


def _alias_problems(tables: Tables) -> Iterable[str]:
    known, rows = _ids(tables), tables["aliases"]
    yield from _repeated("row of aliases", (row["instrument"] for row in rows))
    yield from _repeated("Kite token", (row["kite_token"] for row in rows if row["kite_token"]))
    # One company has one ISIN on every exchange of a country, and one symbol in a country.
    companies = {(row["isin"], row["instrument"].partition(":")[2]) for row in rows if row["isin"]}
    yield from _repeated("ISIN", (isin for isin, _ in companies))
    for row in rows:
        if row["instrument"] not in known:
            yield f"{row['instrument']}: has aliases and is no instrument"
        if row["isin"] and not is_isin(row["isin"]):
            yield f"{row['instrument']}: {row['isin']} is no ISIN"
        if bool(row["isin"]) != bool(row["isin_source"]) or bool(row["kite_token"]) != bool(row["kite_source"]):
            yield f"{row['instrument']}: an alias and its source come together"


def _constituent_problems(tables: Tables) -> Iterable[str]:
    rows = tables["constituents"]
    yield from _repeated("constituent", (f"{row['index']} {row['instrument']}" for row in rows))
    counts = Counter(row["index"] for row in rows)
    for index, (least, most) in SIZES.items():
        if not least <= counts[index] <= most:
            yield f"{index}: has {counts[index]} constituents, should have {least} to {most}"
    for row in rows:
        place = f"{row['index']} {row['instrument']}"
        if row["instrument"] not in _ids(tables):
            yield f"{place}: is no instrument"
        if row["date_first_added"] and not DAY.fullmatch(row["date_first_added"]):
            yield f"{place}: {row['date_first_added']!r} is no day"
        if row["cik"] and not CIK.fullmatch(row["cik"]):
            yield f"{place}: {row['cik']!r} is no CIK"


def _source_problems(tables: Tables) -> Iterable[str]:
    known = {row["source"]: row for row in tables["sources"]}
    for source, row in known.items():
        if not DAY.fullmatch(row["as_of"]):
            yield f"{source}: {row['as_of']!r} is no day"
    for name, columns in COLUMNS.items():
        for column in (each for each in columns if each.endswith("source") and name != "sources"):
            named = {source for row in tables[name] for source in row[column].split("+") if source}
            yield from (f"{name}.csv: names the unknown source {each}" for each in sorted(named - known.keys()))


def _repeated(what: str, values: Iterable[str]) -> Iterable[str]:
    yield from (f"{value}: {count} times the {what}" for value, count in Counter(values).items() if count > 1)


def is_isin(text: str) -> bool:
    """Say whether a text is an ISIN with the right check digit (ISO 6166)."""
    if not ISIN.fullmatch(text):
        return False
    digits = "".join(str(int(character, 36)) for character in text)
    doubled = [int(digit) * (1 if place % 2 else 2) for place, digit in enumerate(reversed(digits), start=1)]
    return sum(sum(map(int, str(each))) for each in doubled) % 10 == 0


# --- US indices, from packages


def us_rows(tables: Tables) -> tuple[list[Row], dict[str, str]]:
    """Return the constituents of the US indices, and ISINs by instrument, as the three packages have them."""
    described, people = _described(), _people()
    ids = {row["symbol"]: row for row in tables["instruments"] if row["exchange"] in AMERICAN}
    rows = [
        _us_row(index, member, ids, described=described, people=people)
        for index, dataset in DATASETS.items()
        for member in _members(dataset)
    ]
    isins = {row["instrument"]: _isin(row["instrument"].partition(":")[2], people) for row in rows}
    counts = Counter(isins.values())
    return rows, {instrument: isin for instrument, isin in isins.items() if isin and counts[isin] == 1}


def _members(dataset: str) -> list[tuple[str, str, str]]:
    """Return symbol, name and the day it joined; the first day of a data set is when it begins, not when one joined."""
    import index_constitution  # type: ignore[import-not-found]  # noqa: PLC0415  # only `us` needs it

    latest, history = index_constitution.latest(dataset), index_constitution.history(dataset)
    begins = f"{history['opt-in'].min():%Y-%m-%d}" if dataset == "nasdaq100" else ""
    days = [f"{day:%Y-%m-%d}" for day in latest["opt-in"]]
    return [
        (symbol, name, "" if day == begins else day)
        for symbol, name, day in zip(latest["symbol"], latest["name"], days, strict=True)
    ]


def _described() -> dict[str, Row]:
    """Return sector, sub-sector and CIK by symbol, under the newest ticker."""
    import index_constitution  # noqa: PLC0415  # only `us` needs it

    rows: dict[str, Row] = {}
    for table in ("sp400_current.csv", "sp500_current.csv"):
        text = files("pitindex.data").joinpath(table).read_text(encoding="utf-8")
        rows |= {row["ticker"]: row for row in csv.DictReader(text.splitlines())}
    changes = index_constitution.events("sp500")
    renamed = changes[changes["event_type"] == "ticker_change"]
    for old, new in zip(renamed["old_symbol"], renamed["new_symbol"], strict=True):
        if old in rows and new not in rows:
            rows[new] = rows[old]
    return rows


def _people() -> dict[str, Any]:
    """Return what pytickersymbols has of each US company, by symbol."""
    from pytickersymbols import PyTickerSymbols  # type: ignore[import-not-found]  # noqa: PLC0415  # as above

    directory = PyTickerSymbols()
    return {stock["symbol"]: stock for name in OTHER_NAMES for stock in directory.get_stocks_by_index(name)}


def _us_row(
    index: str,
    member: tuple[str, str, str],
    ids: Mapping[str, Row],
    *,
    described: Mapping[str, Row],
    people: Mapping[str, Any],
) -> Row:
    symbol, _, day = member
    row, facts = ids[symbol], described.get(symbol)
    company = people.get(symbol, {}).get("metadata", {})
    sources = [PACKAGES["index_constitution"], PACKAGES["pitindex"] if facts else row["source"]]
    seat = (head_quarter(company.get("headquarters") or ""), founded(company.get("founded") or ""))
    if company:
        sources.append(PACKAGES["pytickersymbols"])
    if symbol in SEATS and not all(seat):
        seat = (seat[0] or SEATS[symbol][0], seat[1] or SEATS[symbol][1])
        sources.append(SUPPLEMENT)
    return {
        "index": index,
        "instrument": _id(row),
        "name": row["name"],
        "sector": facts["gics_sector"] if facts else row["sector"],
        "sub_sector": facts["gics_sub_industry"] if facts else "",
        "head_quarter": seat[0],
        "date_first_added": day,
        "cik": facts["cik"] if facts else "",
        "founded": seat[1],
        "source": "+".join(dict.fromkeys(sources)),
    }


def head_quarter(text: str) -> str:
    """Return town and state, or town and country, of an encyclopaedia's line about a seat; empty when it is unclear."""
    if "New York City" in text:
        return "New York City, New York"
    spaced = re.sub(r"\s+([,)])", r"\1", re.sub(r"\s+", " ", text))
    plain = COORDINATES.split(spaced)[0].split(" (")[0].split(" and ")[0].strip(" ,")
    parts = [part.strip() for part in COUNTRY.sub("", plain).split(",") if part.strip()]
    # Canada's towns come with their province, which stands between town and country.
    shown = [parts[-3], parts[-1]] if len(parts) > TOWN_AND_PLACE and parts[-1] == "Canada" else parts[-TOWN_AND_PLACE:]
    seat = ", ".join(BUILDING.sub("", part) for part in shown)
    return seat if TOWN.fullmatch(seat) else ""


def founded(text: str) -> str:
    """Return the first year that an encyclopaedia's line about a beginning names."""
    year = YEAR.search(text)
    return year[0] if year else ""


def _isin(symbol: str, people: Mapping[str, Any]) -> str:
    known = [isin for isin in people.get(symbol, {}).get("isins", []) if is_isin(isin)]
    return ISIN_OF_CLASS.get(symbol, known[0] if len(known) == 1 else "")


# --- India, from lists and dumps as their makers publish them


def index_rows(tables: Tables, index: str, listed: Iterable[Row], source: str) -> list[Row]:
    """Return the constituents of an Indian index; those of SENSEX are the listings of BSE."""
    exchange = "BSE" if index == "SENSEX" else "NSE"
    ids = {_id(row): row for row in tables["instruments"]}
    members = [ids[f"{exchange}:{row['Symbol'].strip()}"] for row in listed]
    empty = dict.fromkeys(COLUMNS["constituents"], "")
    return [
        empty | {"index": index, "instrument": _id(row), "name": row["name"], "sector": row["sector"], "source": source}
        for row in members
    ]


def indian_isins(tables: Tables, listed: Iterable[Row]) -> dict[str, str]:
    """Return ISINs by instrument for the listings on NSE and BSE; both share a company's."""
    ids = _ids(tables)
    found = {row["Symbol"].strip(): row["ISIN Code"].strip() for row in listed}
    return {
        f"{exchange}:{symbol}": isin
        for symbol, isin in found.items()
        for exchange in ("NSE", "BSE")
        if f"{exchange}:{symbol}" in ids
    }


def kite_tokens(tables: Tables, dump: Iterable[Row]) -> dict[str, str]:
    """Return Kite's tokens by instrument from rows of its dump."""
    ids, tokens = _ids(tables), {}
    for row in dump:
        symbol = row["tradingsymbol"]
        is_index = row["segment"] == "INDICES"
        instrument = f"INDEX:{KITE_INDEX_NAMES.get(symbol, '')}" if is_index else f"{row['exchange']}:{symbol}"
        if instrument in ids and row["instrument_type"] == "EQ":
            tokens[instrument] = row["instrument_token"]
    return tokens


def with_aliases(rows: Iterable[Row], column: str, values: Mapping[str, str], source: str) -> list[Row]:
    """Return the aliases with new values of one column, each with its source; the others stay."""
    table: defaultdict[str, Row] = defaultdict(lambda: dict.fromkeys(COLUMNS["aliases"], ""))
    table |= {row["instrument"]: row for row in rows}
    source_column = "isin_source" if column == "isin" else "kite_source"
    for instrument, value in values.items():
        table[instrument] |= {"instrument": instrument, column: value, source_column: source}
    return list(table.values())


# --- the command line


def _id(row: Row) -> str:
    return f"{row['exchange']}:{row['symbol']}"


def _ids(tables: Tables) -> set[str]:
    return {_id(row) for row in tables["instruments"]}


def check(tables: Tables) -> int:
    """Print what is wrong, or how much there is; return the exit code."""
    wrong = problems(tables)
    if all(importlib.util.find_spec(package) for package in PACKAGES) and not wrong:
        rows, _ = us_rows(tables)
        fresh = rendered("constituents", [*rows, *_not_of(tables["constituents"], DATASETS)])
        if fresh != rendered("constituents", tables["constituents"]):
            wrong.append("constituents.csv: the packages say otherwise; run `us`")
    print(*(wrong or [f"{name}: {len(rows)} rows" for name, rows in tables.items()]), sep="\n")
    return int(bool(wrong))


def _not_of(rows: Iterable[Row], indices: Iterable[str]) -> list[Row]:
    return [row for row in rows if row["index"] not in set(indices)]


def make(tables: Tables, arguments: argparse.Namespace) -> None:
    """Make the tables anew that a command is about."""
    if arguments.command == "us":
        rows, isins = us_rows(tables)
        write_table("constituents", [*rows, *_not_of(tables["constituents"], DATASETS)])
        write_table("aliases", with_aliases(tables["aliases"], "isin", isins, PACKAGES["pytickersymbols"]))
        return
    listed = _rows(arguments.file)
    if arguments.command == "kite":
        tokens = kite_tokens(tables, listed)
        write_table("aliases", with_aliases(tables["aliases"], "kite_token", tokens, arguments.source))
        return
    if arguments.command == "index":
        fresh = index_rows(tables, arguments.index, listed, arguments.source)
        write_table("constituents", [*fresh, *_not_of(tables["constituents"], [arguments.index])])
    if listed and "ISIN Code" in listed[0]:
        isins = indian_isins(tables, listed)
        write_table("aliases", with_aliases(tables["aliases"], "isin", isins, arguments.source))


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="the default")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("us")
    for name in ("index", "isins", "kite"):
        command = commands.add_parser(name)
        if name == "index":
            command.add_argument("index", choices=sorted(SIZES.keys() - DATASETS.keys()))
        command.add_argument("file", type=Path)
        command.add_argument("--source", required=True, help="the row of sources.csv")
    arguments = parser.parse_args()
    tables = read_tables()
    if arguments.command is None:
        return check(tables)
    make(tables, arguments)
    return check(read_tables())


if __name__ == "__main__":
    sys.exit(main())
