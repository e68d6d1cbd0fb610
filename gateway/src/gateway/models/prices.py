"""Prices as clients see them."""

from typing import Annotated

from gateway.reply import Change, DateTime, Freshness, From, Percent, Reply


class LivePrice(Reply):
    """What one instrument costs now; `symbol` is in the form the caller asked with."""

    symbol: str
    instrument: str
    last_price: float
    change: Change | None
    change_pct: Annotated[Percent | None, From("change_percent")]
    previous_close: float | None
    volume: int | None
    as_of: Annotated[DateTime, From("provenance.as_of")]
    source: Annotated[str, From("provenance.source")]
    freshness: Annotated[Freshness | None, From("provenance.freshness")]


class MissingSymbol(Reply):
    """A symbol that has no quote, and why."""

    symbol: str
    code: str


class LivePrices(Reply):
    """Quotes in the order asked, and the symbols that have none."""

    quotes: list[LivePrice]
    errors: Annotated[list[MissingSymbol], From("missing")]
