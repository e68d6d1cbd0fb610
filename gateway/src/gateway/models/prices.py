"""Prices as clients see them."""

from typing import Annotated

from gateway.models.origins import AsOf, HowFresh, Source
from gateway.reply import Change, From, Percent, Reply


class LivePrice(Reply):
    """What one instrument costs now; `symbol` is in the form the caller asked with."""

    symbol: str
    instrument: str
    last_price: float
    change: Change | None
    """Since the previous close; null without one."""
    change_pct: Annotated[Percent | None, From("change_percent")]
    previous_close: float | None
    volume: int | None
    """Units traded in the session; null where that is not known."""
    as_of: AsOf
    source: Source
    freshness: HowFresh


class MissingSymbol(Reply):
    """A symbol that has no quote, and why."""

    symbol: str
    code: str
    """`SYMBOL_UNKNOWN`, `SYMBOL_AMBIGUOUS` or `NO_PRICE`."""


class LivePrices(Reply):
    """Quotes in the order asked, and the symbols that have none."""

    quotes: list[LivePrice]
    errors: Annotated[list[MissingSymbol], From("missing")]
