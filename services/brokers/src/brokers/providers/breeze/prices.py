"""ICICI's prices, a call a stock, some stocks a job in a child."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerUnavailable
from brokers.domain.isins import NoDirectory, SecurityDirectory
from brokers.domain.quotes import BrokerQuote
from brokers.domain.secrets import Secret
from brokers.domain.sessions import ActiveSession
from brokers.providers.breeze.parse_quotes import Stock, parse_quotes
from brokers.providers.children.nursery import Nursery
from brokers.providers.children.refusals import ChildRefused, broker_error
from brokers.providers.roots import VendorRoots

DEADLINE_SECONDS = 9.0

# ICICI's list of securities has no indices; it calls two of them so, and has no spot price of the SENSEX.
_INDICES = {"INDEX:NIFTY50": ("NSE", "NIFTY"), "INDEX:BANKNIFTY": ("NSE", "CNXBAN")}


class Directories(Protocol):
    """Keeps ICICI's list of securities."""

    async def directory(self, root_url: str | None) -> SecurityDirectory:
        """Return the list of an address, or one that knows nothing while it cannot be had."""
        ...


class BreezePrices:
    """Asks Breeze over the server-wide session."""

    def __init__(self, nursery: Nursery, roots: VendorRoots, directories: Directories) -> None:
        self._nursery = nursery
        self._roots = roots
        self._directories = directories

    async def known(self, instruments: Sequence[str]) -> Sequence[str]:
        """Return those of `instruments` that ICICI has a code for, in the order given.

        Raises:
            BrokerUnavailable: ICICI's list cannot be had now.
        """
        return list((await self._stocks(instruments)).values())

    async def quotes(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """Return the prices of some stocks, one call each.

        Raises:
            BrokerTokenInvalid: ICICI refused the session.
            ServiceError: another one of `brokers.domain.errors` when ICICI failed.
        """
        stocks = await self._stocks(instruments)
        try:
            answers = await self._nursery.run(
                "breeze_quotes",
                secrets={
                    "api_key": session.api_key,
                    "api_secret": session.api_secret or Secret(""),
                    "session": session.token,
                },
                parameters={
                    "stocks": list(stocks),
                    "root_url": self._roots.of(Broker.ICICI, is_simulated=session.is_simulated),
                },
                deadline_seconds=DEADLINE_SECONDS,
            )
        except ChildRefused as refused:
            raise broker_error(Broker.ICICI, refused) from None
        return parse_quotes(answers, stocks)

    async def _stocks(self, instruments: Sequence[str]) -> dict[Stock, str]:
        directory = await self._directories.directory(self._roots.of(Broker.ICICI, is_simulated=False))
        if isinstance(directory, NoDirectory):
            raise BrokerUnavailable(Broker.ICICI)
        stocks = ((_stock(each, directory), each) for each in instruments)
        return {stock: instrument for stock, instrument in stocks if stock is not None}


def _stock(instrument: str, directory: SecurityDirectory) -> Stock | None:
    """Return how ICICI is asked for an instrument; None for what it has no code for."""
    exchange, _, symbol = instrument.partition(":")
    code = directory.code_of(exchange, symbol)
    return _INDICES.get(instrument) if code is None else (exchange, code)
