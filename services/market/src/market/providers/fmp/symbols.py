"""What Financial Modeling Prep calls instruments, and back."""

from dataclasses import dataclass

from market.domain.instruments import Exchange, Instrument

AMERICAN = (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX)
SUFFIX_OF_EXCHANGE = {Exchange.NSE: ".NS", Exchange.BSE: ".BO"}
# NIFTY Next 50 is left out: it is not known under which name the vendor has it, if at all.
VENDOR_OF_INDEX = {
    "BANKNIFTY": "^NSEBANK",
    "DJI": "^DJI",
    "NASDAQ": "^IXIC",
    "NASDAQ100": "^NDX",
    "NIFTY50": "^NSEI",
    "NIFTY500": "^CRSLDX",
    "NIFTYAUTO": "^CNXAUTO",
    "NIFTYFMCG": "^CNXFMCG",
    "NIFTYIT": "^CNXIT",
    "NIFTYMETAL": "^CNXMETAL",
    "NIFTYPHARMA": "^CNXPHARMA",
    "RUSSELL2000": "^RUT",
    "SENSEX": "^BSESN",
    "SP500": "^GSPC",
}
_INDEX_OF_VENDOR = {vendor: index for index, vendor in VENDOR_OF_INDEX.items()}
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


def vendor_symbol(instrument: Instrument) -> str | None:
    """Return what the vendor calls an instrument; None when it has no name for it."""
    if instrument.exchange in SUFFIX_OF_EXCHANGE:
        return instrument.symbol + SUFFIX_OF_EXCHANGE[instrument.exchange]
    if instrument.exchange is Exchange.INDEX:
        return VENDOR_OF_INDEX.get(instrument.symbol)
    if instrument.exchange is Exchange.FX:
        return instrument.symbol
    # The vendor writes classes of shares with a hyphen, so one that is ours could not be told from a point.
    return None if "-" in instrument.symbol else instrument.symbol.replace(".", "-")


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
