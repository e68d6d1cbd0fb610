from bourse.brokers.v1.quotes_pb2_grpc import BrokerQuoteServiceStub
from grpc.aio import insecure_channel

from market.domain.capabilities import Capability
from market.domain.freshness import SimulatedFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quote_sources import QuotesOf
from market.domain.source_order import in_order
from market.providers.brokers.source import BrokerSource, covered_instruments

TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS", InstrumentKind.EQUITY, "INR")
APPLE = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple", InstrumentKind.EQUITY, "USD")


async def test_a_broker_is_a_source_of_quotes_and_of_nothing_else() -> None:
    async with insecure_channel("127.0.0.1:1") as channel:
        instruments, stub = covered_instruments([TCS, APPLE]), BrokerQuoteServiceStub(channel)
        zerodha, icici = (
            BrokerSource(name, instruments, stub=stub, rule=SimulatedFreshness()) for name in ("zerodha", "icici")
        )
    assert zerodha.covers(Capability.QUOTES, TCS)
    assert not zerodha.covers(Capability.QUOTES, APPLE)
    assert not zerodha.covers(Capability.NEWS, TCS)
    assert in_order(Capability.NEWS, [zerodha, icici], {}) == []
    assert in_order(Capability.QUOTES, [zerodha, icici], {Capability.QUOTES: ("icici",)}) == [icici]
    assert QuotesOf(icici, [TCS, APPLE], answers_in_bulk=False).instruments() == [TCS]
