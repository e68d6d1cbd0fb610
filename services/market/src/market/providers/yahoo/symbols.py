"""What Yahoo calls our instruments, and which it has."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from market.domain.aliases import yahoo_symbol
from market.domain.capabilities import Capability
from market.domain.instruments import Exchange, Instrument, InstrumentKind

_UNITED_STATES = frozenset({Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX})

# News without a symbol does not exist at Yahoo: the news of whole markets is that of their indices, and press releases
# are those of the companies whose shares are worth most.
MARKET_SYMBOLS = ("^GSPC", "^DJI", "^IXIC", "^NSEI", "^BSESN")
PRESS_SYMBOLS = ("AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "AVGO", "LLY", "JPM")

SYMBOL_OF_MATURITY: Mapping[str, str] = MappingProxyType(
    {"month3": "^IRX", "year5": "^FVX", "year10": "^TNX", "year30": "^TYX"}
)

_SHARES = frozenset({InstrumentKind.EQUITY, InstrumentKind.FUND})
_ALL_KINDS = frozenset(InstrumentKind)
_KINDS_OF_CAPABILITY = {
    Capability.QUOTES: _ALL_KINDS,
    Capability.QUOTE_DETAILS: _ALL_KINDS,
    Capability.DAILY_HISTORY: _ALL_KINDS,
    Capability.INTRADAY_BARS: _ALL_KINDS,
    Capability.PROFILES: _SHARES,
    Capability.STATEMENTS: frozenset({InstrumentKind.EQUITY}),
    Capability.DIVIDENDS: _SHARES,
    Capability.RATINGS: frozenset({InstrumentKind.EQUITY}),
    Capability.AFTER_MARKET_TRADES: _SHARES,
    Capability.AFTER_MARKET_QUOTES: _SHARES,
    Capability.STOCK_NEWS: _ALL_KINDS - {InstrumentKind.CURRENCY_PAIR},
}
_AFTER_MARKET = (Capability.AFTER_MARKET_TRADES, Capability.AFTER_MARKET_QUOTES)

_OF_NO_INSTRUMENT = (Capability.EARNINGS, Capability.NEWS, Capability.PRESS_RELEASES, Capability.TREASURY)
CAPABILITIES = frozenset((*_KINDS_OF_CAPABILITY, *_OF_NO_INSTRUMENT))


def native_symbol_of(symbol: str) -> str | None:
    """Return what exchanges in the United States call one of Yahoo's symbols; None when it is listed elsewhere."""
    if any(mark in symbol for mark in ".=^"):
        return None
    return symbol.replace("-", ".")


def is_covered(capability: Capability, instrument: Instrument) -> bool:
    """Say whether Yahoo may know something of an instrument; trading outside sessions is known of American ones."""
    if yahoo_symbol(instrument) is None or instrument.kind not in _KINDS_OF_CAPABILITY.get(capability, ()):
        return False
    return capability not in _AFTER_MARKET or instrument.exchange in _UNITED_STATES


def by_symbol(instruments: Iterable[Instrument]) -> dict[str, Instrument]:
    """Return the instruments that Yahoo has by its symbols."""
    symbols = ((yahoo_symbol(each), each) for each in instruments)
    return {symbol: each for symbol, each in symbols if symbol is not None}
