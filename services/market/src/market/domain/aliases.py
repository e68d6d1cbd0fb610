"""What else instruments are called, and which instrument one of its names means.

Yahoo's and FMP's symbols follow from an instrument by rule; an ISIN and Kite's token are facts that are looked up. Each
name but the ISIN means one instrument: the listings of a company share that, so it may be ambiguous, which is said.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from market.domain.instruments import (
    MAX_SYMBOL_LENGTH,
    Exchange,
    Instrument,
    InstrumentDirectory,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)

SUFFIX_OF_EXCHANGE = {Exchange.NSE: ".NS", Exchange.BSE: ".BO"}

YAHOO_SYMBOL_OF_INDEX = {
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
    "NIFTYNEXT50": "^NSMIDCP",
    "NIFTYPHARMA": "^CNXPHARMA",
    "RUSSELL2000": "^RUT",
    "SENSEX": "^BSESN",
    "SP500": "^GSPC",
}
# FMP's names of indices are Yahoo's; of this one it is not known whether FMP has it.
NOT_AT_FMP = frozenset({"NIFTYNEXT50"})

_NAME = re.compile(r"\^?[A-Z0-9][A-Z0-9.&_:-]*(?:=X)?")


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What is known of an instrument by looking it up.

    Attributes:
        isin: its ISIN, upper case; None when not known.
        kite_token: Kite's token; None when not known.
    """

    isin: str | None = None
    kite_token: int | None = None


@dataclass(frozen=True, slots=True)
class Aliases:
    """What else an instrument is called; None is what is not known.

    Attributes:
        isin: its ISIN, which the listings of one company share.
        kite_token: Kite's token.
        yahoo: Yahoo's symbol.
        fmp: the symbol of Financial Modeling Prep.
    """

    isin: str | None
    kite_token: int | None
    yahoo: str | None
    fmp: str | None

    @property
    def names(self) -> Sequence[str]:
        """Return them as people write them, each once: `INE467B01029`, `kite:2953217`, `TCS.NS`."""
        token = None if self.kite_token is None else f"kite:{self.kite_token}"
        return list(dict.fromkeys(name for name in (self.isin, token, self.yahoo, self.fmp) if name is not None))


def yahoo_symbol(instrument: Instrument) -> str | None:
    """Return what Yahoo calls an instrument; None when it has no name for it."""
    if instrument.exchange is Exchange.INDEX:
        return YAHOO_SYMBOL_OF_INDEX.get(instrument.symbol)
    if instrument.exchange is Exchange.FX:
        return f"{instrument.symbol}=X"
    return _share_symbol(instrument)


def fmp_symbol(instrument: Instrument) -> str | None:
    """Return what Financial Modeling Prep calls an instrument; None when it has no name for it."""
    if instrument.exchange is Exchange.INDEX:
        return None if instrument.symbol in NOT_AT_FMP else YAHOO_SYMBOL_OF_INDEX.get(instrument.symbol)
    if instrument.exchange is Exchange.FX:
        return instrument.symbol
    return _share_symbol(instrument)


def _share_symbol(instrument: Instrument) -> str | None:
    """Return a share's symbol as both vendors write it: classes with a hyphen, India with a suffix."""
    if instrument.exchange in SUFFIX_OF_EXCHANGE:
        return instrument.symbol + SUFFIX_OF_EXCHANGE[instrument.exchange]
    # A hyphen that is ours could not be told from a point that became one.
    return None if "-" in instrument.symbol else instrument.symbol.replace(".", "-")


class InstrumentNames:
    """All names of all instruments of a directory.

    Args:
        directory: the instruments.
        identifiers: what is known of them, by instrument id; of an instrument that is not in it nothing is.
    """

    def __init__(self, directory: InstrumentDirectory, identifiers: Mapping[str, Identifiers]) -> None:
        self.instruments = directory.instruments
        self._identifiers = identifiers
        self._by_id = {each.id: each for each in self.instruments}
        self._by_alias = _grouped((name.upper(), each) for each in self.instruments for name in self.of(each).names)
        self._by_symbol = _grouped((each.symbol, each) for each in self.instruments)

    def of(self, instrument: Instrument) -> Aliases:
        """Return what else an instrument is called."""
        known = self._identifiers.get(instrument.id, Identifiers())
        return Aliases(
            isin=known.isin,
            kite_token=known.kite_token,
            yahoo=yahoo_symbol(instrument),
            fmp=fmp_symbol(instrument),
        )

    def resolve(self, name: str) -> Instrument:
        """Return the instrument that a name means, in any case.

        The name is an id (`NSE:TCS`), an ISIN, `kite:` and a token, a symbol of Yahoo or of FMP, or else the symbol
        that an exchange uses, where no two do. A vendor's symbol comes before an exchange's: `HAL` is what vendors
        call NYSE:HAL, and they call NSE:HAL `HAL.NS`.

        Raises:
            SymbolInvalid: it cannot be a name.
            SymbolUnknown: no instrument has it.
            SymbolAmbiguous: several have it; they are the candidates.
        """
        wanted = _read_name(name)
        if (found := self._by_id.get(wanted)) is not None:
            return found
        candidates = self._by_alias.get(wanted) or self._by_symbol.get(wanted, ())
        if not candidates:
            raise SymbolUnknown(name)
        if len(candidates) > 1:
            raise SymbolAmbiguous(name, [each.id for each in candidates])
        return candidates[0]


def _read_name(name: str) -> str:
    if not name:
        raise SymbolInvalid(name, "it is empty")
    if len(name) > MAX_SYMBOL_LENGTH:
        raise SymbolInvalid(name, f"it is longer than {MAX_SYMBOL_LENGTH} characters")
    # upper() turns some letters outside ASCII into ASCII ones, so they are refused before it.
    wanted = name.upper() if name.isascii() else ""
    if _NAME.fullmatch(wanted) is None:
        raise SymbolInvalid(name, "it has characters that no symbol, ISIN or token has")
    return wanted


def _grouped(named: Iterable[tuple[str, Instrument]]) -> Mapping[str, Sequence[Instrument]]:
    groups: defaultdict[str, list[Instrument]] = defaultdict(list)
    for name, instrument in named:
        groups[name].append(instrument)
    return dict(groups)
