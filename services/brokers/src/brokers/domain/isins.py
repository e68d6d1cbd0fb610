"""Joins ICICI's own stock codes with the exchanges' symbols, over the ISIN where it is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

NSE, BSE = "NSE", "BSE"


@dataclass(frozen=True, slots=True)
class Security:
    """One line of ICICI's list of securities.

    Attributes:
        exchange: `NSE` or `BSE`.
        code: ICICI's own code.
        isin: identifies the security everywhere; empty where the list has none.
        symbol: the exchange's symbol.
    """

    exchange: str
    code: str
    isin: str
    symbol: str


@dataclass(frozen=True, slots=True)
class ResolvedStock:
    """What a broker's code stands for; each None where unknown."""

    symbol: str | None
    isin: str | None


class SecurityDirectory(Protocol):
    """Knows what ICICI's codes stand for."""

    def resolve(self, exchange: str, code: str, isin: str | None) -> ResolvedStock:
        """Return the exchange's symbol and the ISIN of a stock."""
        ...

    def exchange_of(self, isin: str) -> str:
        """Return where a security is listed, NSE before BSE; NSE when unknown."""
        ...

    def code_of(self, exchange: str, symbol: str) -> str | None:
        """Return ICICI's own code of an exchange's symbol; None when it lists none."""
        ...


class NoDirectory:
    """Stands in while ICICI's list cannot be had: nothing is resolved."""

    def resolve(self, exchange: str, code: str, isin: str | None) -> ResolvedStock:  # noqa: ARG002  # the port's shape
        """Return what the broker itself said."""
        return ResolvedStock(None, isin)

    def exchange_of(self, isin: str) -> str:  # noqa: ARG002  # the port's shape
        """Return NSE."""
        return NSE

    def code_of(self, exchange: str, symbol: str) -> str | None:  # noqa: ARG002  # the port's shape
        """Return None."""
        return None


class Directory:
    """ICICI's list of securities.

    The ISIN decides. A code is believed where the broker gave no ISIN, and not where the list knows the code under
    another ISIN: codes are given anew after mergers, ISINs never are.
    """

    def __init__(self, securities: Iterable[Security]) -> None:
        self._by_isin: dict[tuple[str, str], str] = {}
        self._by_code: dict[tuple[str, str], Security] = {}
        self._by_symbol: dict[tuple[str, str], str] = {}
        for security in securities:
            if security.symbol and security.isin:
                self._by_isin.setdefault((security.exchange, security.isin), security.symbol)
            if security.symbol and security.code:
                self._by_code.setdefault((security.exchange, security.code), security)
                self._by_symbol.setdefault((security.exchange, security.symbol), security.code)

    def __len__(self) -> int:
        return len(self._by_code)

    def resolve(self, exchange: str, code: str, isin: str | None) -> ResolvedStock:
        """Return the exchange's symbol and the ISIN of a stock."""
        if isin is not None:
            symbol = self._by_isin.get((exchange, isin))
            listed = self._by_code.get((exchange, code))
            if symbol is None and listed is not None and not listed.isin:
                symbol = listed.symbol
            return ResolvedStock(symbol, isin)
        listed = self._by_code.get((exchange, code))
        return ResolvedStock(None, None) if listed is None else ResolvedStock(listed.symbol, listed.isin or None)

    def exchange_of(self, isin: str) -> str:
        """Return where a security is listed, NSE before BSE; NSE when unknown."""
        return next((exchange for exchange in (NSE, BSE) if (exchange, isin) in self._by_isin), NSE)

    def code_of(self, exchange: str, symbol: str) -> str | None:
        """Return ICICI's own code of an exchange's symbol; None when it lists none."""
        return self._by_symbol.get((exchange, symbol))
