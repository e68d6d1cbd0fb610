"""Market with behaviour and without sources."""

from collections.abc import Callable
from typing import Any

from bourse.market.v1 import quotes_pb2, quotes_pb2_grpc, snapshot_pb2, snapshot_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal, provenance
from fakes.other_market import OtherMarket

EXCHANGES_OF_BARE_SYMBOLS = {
    quotes_pb2.LISTING_INDIA: "NSE",
    quotes_pb2.LISTING_UNITED_STATES: "NASDAQ",
    quotes_pb2.LISTING_CURRENCIES: "FX",
}


class FakeMarket(Faults):
    """Quotes by instrument, and a snapshot; `other` is the rest of it."""

    def __init__(self) -> None:
        super().__init__()
        self.other = OtherMarket(self.meet, self._allow_keeping)
        self.prices = {
            "NSE:TCS": 3842.5,
            "NSE:INFY": 1500.0,
            "BSE:HDFCBANK": 1600.25,
            "NASDAQ:AAPL": 201.28,
            "NASDAQ:MSFT": 415.5,
            "FX:EURUSD": 1.08415,
        }
        self.unpriced: set[str] = set()
        self.cache_control: str | None = None
        self.nifty_price = 22_500.5

    async def GetQuotes(self, request: quotes_pb2.GetQuotesRequest, context: Any) -> quotes_pb2.GetQuotesResponse:
        await self.meet("GetQuotes", context)
        self._allow_keeping(context)
        return self._quotes(request)

    def _quotes(
        self, request: quotes_pb2.GetQuotesRequest | quotes_pb2.GetDetailedQuotesRequest
    ) -> quotes_pb2.GetQuotesResponse:
        reply = quotes_pb2.GetQuotesResponse()
        for symbol in request.symbols:
            upper = symbol.upper()
            instrument = upper if ":" in upper else f"{EXCHANGES_OF_BARE_SYMBOLS[request.listing]}:{upper}"
            if instrument in self.unpriced:
                reply.missing.add(symbol=symbol, code="NO_PRICE")
            elif instrument not in self.prices:
                reply.missing.add(symbol=symbol, code="SYMBOL_UNKNOWN")
            else:
                price = self.prices[instrument]
                quote = reply.quotes.add(
                    instrument=instrument, symbol=symbol, name=instrument, last_price=price, currency="INR"
                )
                quote.previous_close = price - 12.3
                quote.change = price - quote.previous_close
                quote.change_percent = quote.change / quote.previous_close * 100
                quote.provenance.CopyFrom(provenance())
        if not reply.quotes and not any(missing.code == "NO_PRICE" for missing in reply.missing):
            raise Refusal(Code.NOT_FOUND, "SYMBOL_UNKNOWN", f"no market knows {request.symbols[0]}")
        return reply

    async def GetDetailedQuotes(
        self, request: quotes_pb2.GetDetailedQuotesRequest, context: Any
    ) -> quotes_pb2.GetDetailedQuotesResponse:
        await self.meet("GetDetailedQuotes", context)
        self._allow_keeping(context)
        short = self._quotes(request)
        detailed = [
            quotes_pb2.DetailedQuote(
                quote=quote,
                exchange=quote.instrument.partition(":")[0],
                year_high=quote.last_price * 1.5,
                price_avg50=3.5,
            )
            for quote in short.quotes
        ]
        return quotes_pb2.GetDetailedQuotesResponse(quotes=detailed, missing=short.missing)

    async def GetSnapshot(self, _: Any, context: Any) -> snapshot_pb2.GetSnapshotResponse:
        await self.meet("GetSnapshot", context)
        self._allow_keeping(context)
        reply = snapshot_pb2.GetSnapshotResponse(provenance=provenance())
        reply.nifty.CopyFrom(
            snapshot_pb2.IndexLevel(
                instrument="INDEX:NIFTY50", price=self.nifty_price, change_percent=0.123456, provenance=provenance()
            )
        )
        reply.bank_nifty.CopyFrom(snapshot_pb2.IndexLevel(instrument="INDEX:BANKNIFTY", price=48_000.0))
        reply.signals.add(
            instrument="NSE:TCS",
            pattern="engulfing",
            direction=snapshot_pb2.SIGNAL_DIRECTION_BULLISH,
            confidence=0.53,
            cases=120,
            confidence_low=0.44,
            confidence_high=0.62,
            base_rate=0.51,
            session="2026-04-06",
        )
        reply.signals.add(instrument="NSE:INFY", pattern="doji", cases=3, session="2026-04-06")
        reply.sectors.add(sector="Information Technology", change_percent=-1.23456, instruments=12)
        reply.market.is_open = True
        reply.market.as_of.FromDatetime(NOW)
        reply.market.next_close.FromDatetime(NOW)
        return reply

    def _allow_keeping(self, context: Any) -> None:
        if self.cache_control is not None:
            context.set_trailing_metadata((("cache-control", self.cache_control),))

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: quotes_pb2_grpc.add_QuoteServiceServicer_to_server(fake, server),
            lambda server: snapshot_pb2_grpc.add_SnapshotServiceServicer_to_server(fake, server),
            *self.other.registrations(),
        ]
