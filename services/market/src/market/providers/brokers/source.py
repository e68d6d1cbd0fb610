"""A broker as a source of quotes: India's shares and its three indices, over the brokers service."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

import grpc

from bourse.brokers.v1 import brokers_pb2, quotes_pb2, quotes_pb2_grpc
from chassis.rpc_client import reason_of, retry_after_of
from market.domain.capabilities import Capability
from market.domain.instruments import Exchange, Instrument
from market.domain.ports import FreshnessRule
from market.domain.quote_sources import SourceRefused
from market.domain.quotes import Quote
from market.domain.snapshot import BANK_NIFTY, NIFTY, SENSEX
from market.providers.brokers.parse import quote_of

log = logging.getLogger(__name__)

# The brokers service waits for a broker's turn, at most one call a second with Zerodha. Two sources that both hang
# still answer within the five seconds that callers give a call.
SOURCE_SECONDS = 2.4
DEADLINE_SECONDS = 2.3
INSTRUMENTS_PER_CALL = 500

BROKER_OF_SOURCE = {"zerodha": brokers_pb2.BROKER_ZERODHA, "icici": brokers_pb2.BROKER_ICICI}
# Zerodha answers up to 500 instruments a call; each instrument is a call with ICICI, of 100 a minute and 5,000 a day.
SOURCES_IN_BULK = frozenset({"zerodha"})
REUSE_SECONDS = {"zerodha": 5.0, "icici": 30.0}

_PROBLEM_OF_REASON = {
    "SESSION_INACTIVE": "has no active session",
    "BROKER_BUDGET_SPENT": "may not be asked more often now",
    "BROKER_THROTTLED": "limits how often it may be asked",
    "BROKER_UNAVAILABLE": "is not answering",
    "BROKER_ANSWER_INVALID": "answered what cannot be read",
    "BROKER_TIMEOUT": "did not answer in time",
}
_PROBLEM_OF_STATUS = {
    grpc.StatusCode.UNAVAILABLE: "cannot be asked, because the brokers service is away",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
}


def covered_instruments(known: Iterable[Instrument]) -> Sequence[Instrument]:
    """Return those that brokers have: what NSE and BSE list, NIFTY 50, BANK NIFTY and (not ICICI) SENSEX."""
    indices = (NIFTY, BANK_NIFTY, SENSEX)
    return [each for each in known if each.exchange in (Exchange.NSE, Exchange.BSE) or each.id in indices]


class BrokerSource:
    """One broker's quotes.

    Args:
        name: the source's name, `zerodha` or `icici`.
        instruments: what it has.
        stub: the brokers service.
        rule: how far its prices can be relied on.
    """

    is_simulated = False
    capabilities = frozenset({Capability.QUOTES})

    def __init__(
        self,
        name: str,
        instruments: Sequence[Instrument],
        *,
        stub: "quotes_pb2_grpc.BrokerQuoteServiceAsyncStub",
        rule: FreshnessRule,
    ) -> None:
        self.name = name
        self.answers_in_bulk = name in SOURCES_IN_BULK
        self._instruments = instruments
        self._covered = frozenset(each.id for each in instruments)
        self._stub = stub
        self._rule = rule

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument the source has."""
        return self._instruments

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether the broker may know something of an instrument."""
        return capability in self.capabilities and instrument.id in self._covered

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; what the broker does not know is left out.

        Raises:
            SourceRefused: the brokers service, or the broker behind it, does not answer.
        """
        parts = [
            instruments[begin : begin + INSTRUMENTS_PER_CALL]
            for begin in range(0, len(instruments), INSTRUMENTS_PER_CALL)
        ]
        answers = await asyncio.gather(*map(self._ask, parts))
        return {instrument: quote for answer in answers for instrument, quote in answer.items()}

    async def _ask(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        request = quotes_pb2.GetBrokerQuotesRequest(
            broker=BROKER_OF_SOURCE[self.name], instruments=[each.id for each in instruments]
        )
        try:
            response = await self._stub.GetBrokerQuotes(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from error
        return self._read(response.quotes, {each.id: each for each in instruments})

    def _read(self, messages: Iterable[quotes_pb2.BrokerQuote], asked: Mapping[str, Instrument]) -> Mapping[str, Quote]:
        quotes: dict[str, Quote] = {}
        for message in messages:
            instrument = asked.get(message.instrument)
            quote = None if instrument is None else quote_of(message, instrument, source=self.name, rule=self._rule)
            if quote is None:
                log.warning("quote passed over", extra={"source": self.name, "instrument": message.instrument})
                continue
            quotes[message.instrument] = quote
        return quotes


def _refusal(error: grpc.aio.AioRpcError) -> SourceRefused:
    problem = _PROBLEM_OF_REASON.get(reason_of(error) or "") or _PROBLEM_OF_STATUS.get(error.code(), "did not answer")
    return SourceRefused(problem, retry_after_seconds=retry_after_of(error))
