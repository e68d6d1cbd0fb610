"""The tables of facts beside the list of instruments: what those are called, what indices are made of, exchanges.

`scripts/reference.py` makes and checks them; `sources.csv` says what each row's source is and of which day.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from zoneinfo import ZoneInfo

from market.domain.aliases import Identifiers
from market.domain.constituents import Constituent
from market.domain.exchanges import ExchangeFacts

Row = dict[str, str]


def read_identifiers() -> Mapping[str, Identifiers]:
    """Read what is known of instruments by looking it up, by instrument id."""
    return {
        row["instrument"]: Identifiers(
            isin=row["isin"] or None, kite_token=int(row["kite_token"]) if row["kite_token"] else None
        )
        for row in _rows("aliases")
    }


def read_constituents(identifiers: Mapping[str, Identifiers]) -> Sequence[Constituent]:
    """Read the constituents of all indices, with the ISINs that are known."""
    days = {row["source"]: date.fromisoformat(row["as_of"]) for row in _rows("sources")}
    return [_constituent(row, days, identifiers.get(row["instrument"])) for row in _rows("constituents")]


def read_exchanges() -> Sequence[ExchangeFacts]:
    """Read the exchanges."""
    return [
        ExchangeFacts(
            exchange=row["exchange"],
            name=row["name"],
            country_name=row["country_name"],
            country_code=row["country_code"],
            symbol_suffix=row["symbol_suffix"] or None,
            mic=row["mic"],
            timezone=ZoneInfo(row["timezone"]),
            currency=row["currency"],
            calendar=row["calendar"],
        )
        for row in _rows("exchanges")
    ]


def _constituent(row: Row, days: Mapping[str, date], identifiers: Identifiers | None) -> Constituent:
    membership, _, _ = row["source"].partition("+")
    return Constituent(
        index=row["index"],
        instrument=row["instrument"],
        name=row["name"],
        source=row["source"],
        as_of=days[membership],
        sector=row["sector"] or None,
        sub_sector=row["sub_sector"] or None,
        head_quarter=row["head_quarter"] or None,
        date_first_added=date.fromisoformat(row["date_first_added"]) if row["date_first_added"] else None,
        cik=row["cik"] or None,
        founded=row["founded"] or None,
        isin=None if identifiers is None else identifiers.isin,
    )


def _rows(table: str) -> Sequence[Row]:
    text = files(__package__).joinpath(f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
