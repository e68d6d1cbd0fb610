"""What one of Financial Modeling Prep's symbols names; what it calls an instrument is in `domain/aliases.py`."""

from dataclasses import dataclass

from market.domain.aliases import NOT_AT_FMP, SUFFIX_OF_EXCHANGE, YAHOO_SYMBOL_OF_INDEX
from market.domain.instruments import Exchange

AMERICAN = (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX)
_INDEX_OF_VENDOR = {vendor: index for index, vendor in YAHOO_SYMBOL_OF_INDEX.items() if index not in NOT_AT_FMP}
_EXCHANGE_OF_SUFFIX = {suffix: exchange for exchange, suffix in SUFFIX_OF_EXCHANGE.items()}
_SUFFIX_LENGTH = 3
_PAIR_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Named:
    """An instrument as one of the vendor's symbols names it.

    Attributes:
        exchange: where it is listed; None for one of America's exchanges, which the symbol does not tell.
        symbol: the exchange's own symbol.
    """

    exchange: Exchange | None
    symbol: str


def read_vendor_symbol(text: str) -> Named | None:
    """Return what one of the vendor's symbols names; None for listings of exchanges that we do not have."""
    if text in _INDEX_OF_VENDOR:
        return Named(Exchange.INDEX, _INDEX_OF_VENDOR[text])
    if (exchange := _EXCHANGE_OF_SUFFIX.get(text[-_SUFFIX_LENGTH:])) is not None:
        return Named(exchange, text[:-_SUFFIX_LENGTH])
    if not text or not text.replace("-", "").isalnum():
        return None
    # America's symbols have at most five letters.
    if len(text) == _PAIR_LENGTH and text.isalpha():
        return Named(Exchange.FX, text)
    return Named(None, text.replace("-", "."))
