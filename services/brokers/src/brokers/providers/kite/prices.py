"""Kite's prices and instrument tokens, each by a job in a child."""

from collections.abc import Mapping, Sequence

from brokers.domain.brokers import Broker
from brokers.domain.quotes import BrokerQuote
from brokers.domain.sessions import ActiveSession
from brokers.providers.children.nursery import Nursery
from brokers.providers.children.refusals import ChildRefused, broker_error
from brokers.providers.children.wire import JSON
from brokers.providers.kite.names import kite_name
from brokers.providers.kite.parse_quotes import parse_quotes, parse_tokens
from brokers.providers.roots import VendorRoots

CALL_TIMEOUT_SECONDS = 5.0
QUOTES_DEADLINE_SECONDS = 6.0
# Both exchanges' lists have a megabyte each.
LIST_TIMEOUT_SECONDS = 30.0
LIST_DEADLINE_SECONDS = 75.0
EXCHANGES = ("NSE", "BSE")


class KitePrices:
    """Asks Kite over the server-wide session."""

    def __init__(self, nursery: Nursery, roots: VendorRoots) -> None:
        self._nursery = nursery
        self._roots = roots

    async def known(self, instruments: Sequence[str]) -> Sequence[str]:
        """Return those of `instruments` that Kite has a name for, in the order given."""
        return [each for each in instruments if kite_name(each) is not None]

    async def quotes(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, BrokerQuote]:
        """Return the prices of up to 500 instruments, by one call.

        Raises:
            BrokerTokenInvalid: Kite refused the session.
            ServiceError: another one of `brokers.domain.errors` when Kite failed.
        """
        names = [kite_name(each) for each in instruments]
        rows = await self._run(
            "kite_quotes",
            session,
            {"instruments": names, "timeout_seconds": CALL_TIMEOUT_SECONDS},
            deadline_seconds=QUOTES_DEADLINE_SECONDS,
        )
        return parse_quotes(rows, instruments)

    async def tokens(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, int]:
        """Return the ticker's tokens of those instruments that Kite lists, in the order given.

        Raises:
            BrokerTokenInvalid: Kite refused the session.
            ServiceError: another one of `brokers.domain.errors` when Kite failed.
        """
        rows = await self._run(
            "kite_instruments",
            session,
            {"exchanges": EXCHANGES, "timeout_seconds": LIST_TIMEOUT_SECONDS},
            deadline_seconds=LIST_DEADLINE_SECONDS,
        )
        return parse_tokens(rows, instruments)

    async def _run(
        self, job: str, session: ActiveSession, parameters: Mapping[str, JSON], *, deadline_seconds: float
    ) -> JSON:
        root = self._roots.of(Broker.ZERODHA, is_simulated=session.is_simulated)
        try:
            return await self._nursery.run(
                job,
                secrets={"api_key": session.api_key, "access_token": session.token},
                parameters={**parameters, "root_url": root},
                deadline_seconds=deadline_seconds,
            )
        except ChildRefused as refused:
            raise broker_error(Broker.ZERODHA, refused) from None
