"""Portfolio with behaviour and without a database."""

from collections.abc import Callable
from typing import Any

from bourse.brokers.v1 import brokers_pb2
from bourse.market.v1 import quotes_pb2
from bourse.portfolio.v1 import (
    holdings_pb2,
    holdings_pb2_grpc,
    pnl_pb2,
    pnl_pb2_grpc,
    positions_pb2,
    positions_pb2_grpc,
)
from bourse.portfolio.v1 import syncs_pb2 as synced_portfolios_pb2
from bourse.portfolio.v1 import syncs_pb2_grpc as synced_portfolios_pb2_grpc
from fakes.faults import NOW, Faults, provenance
from fakes.own_portfolios import FakeOwnPortfolios
from fakes.summaries import FakeSummaries
from fakes.watchlists import FakeWatchlists


class FakePortfolio(Faults):
    """What each user holds, as the last sync left it; `own` and `watching` are what users enter themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.own = FakeOwnPortfolios(self.meet)
        self.watching = FakeWatchlists(self.meet)
        self.summaries = FakeSummaries(self.meet)
        self.holdings: dict[str, holdings_pb2.ListHoldingsResponse] = {}
        self.positions: dict[str, list[positions_pb2.Position]] = {}
        self.points: dict[str, list[pnl_pb2.PnlPoint]] = {}

    def sync(self, user_id: str, *, is_simulated: bool = False) -> holdings_pb2.ListHoldingsResponse:
        """Give a user the holding of the StockTrendz document."""
        reply = holdings_pb2.ListHoldingsResponse(is_synced=True)
        reply.syncs.add(broker=brokers_pb2.BROKER_ZERODHA, is_simulated=is_simulated).synced_at.FromDatetime(NOW)
        row = reply.holdings.add(
            broker=brokers_pb2.BROKER_ZERODHA,
            exchange="NSE",
            tradingsymbol="TCS",
            instrument="NSE:TCS",
            quantity="10",
            t1_quantity="0",
            average_price="3600.00",
            last_price="3842.50",
            invested="36000.00",
            current_value="38425.00",
            pnl="2425.00",
            pnl_percent="6.74",
            split_factor="1",
            is_simulated=is_simulated,
        )
        row.provenance.CopyFrom(
            provenance(quotes_pb2.FRESHNESS_SIMULATED if is_simulated else quotes_pb2.FRESHNESS_LIVE)
        )
        row.synced_at.FromDatetime(NOW)
        reply.summary.total_invested = "36000.00"
        reply.summary.total_current_value = "38425.00"
        reply.summary.total_pnl = "2425.00"
        reply.summary.day_unvalued_count = 1
        reply.summary.total_pnl_percent = "6.74"
        self.holdings[user_id] = reply
        return reply

    def open_position(self, user_id: str, **fields: Any) -> positions_pb2.Position:
        known = {
            "broker": brokers_pb2.BROKER_ICICI,
            "type": synced_portfolios_pb2.POSITION_TYPE_NET,
            "exchange": "NFO",
            "tradingsymbol": "NIFTY26APRFUT",
            "instrument": "NFO:NIFTY26APRFUT",
            "quantity": "-75",
            "multiplier": "1",
        }
        position = positions_pb2.Position(**{**known, **fields})
        position.synced_at.FromDatetime(NOW)
        self.positions.setdefault(user_id, []).append(position)
        return position

    async def ListHoldings(
        self, request: holdings_pb2.ListHoldingsRequest, context: Any
    ) -> holdings_pb2.ListHoldingsResponse:
        await self.meet("ListHoldings", context)
        nothing = holdings_pb2.HoldingsSummary(total_invested="0.00", total_current_value="0.00", total_pnl="0.00")
        return self.holdings.get(request.user_id) or holdings_pb2.ListHoldingsResponse(summary=nothing)

    async def ListPositions(
        self, request: positions_pb2.ListPositionsRequest, context: Any
    ) -> positions_pb2.ListPositionsResponse:
        await self.meet("ListPositions", context)
        rows = [row for row in self.positions.get(request.user_id, []) if request.type in (0, row.type)]
        return positions_pb2.ListPositionsResponse(
            positions=[row for row in rows if row.quantity != "0"],
            closed=[row for row in rows if row.quantity == "0"],
            summary=positions_pb2.PositionsSummary(total_pnl="0.00", day_pnl="0.00"),
            is_synced=bool(rows),
        )

    async def GetPnl(self, request: pnl_pb2.GetPnlRequest, context: Any) -> pnl_pb2.GetPnlResponse:
        await self.meet("GetPnl", context)
        zero = "0.00"
        points = self.points.get(request.user_id, [])
        return pnl_pb2.GetPnlResponse(
            summary=pnl_pb2.PnlSummary(
                total_invested=zero, total_current_value=zero, total_pnl=zero, positions_pnl=zero
            ),
            trend=points[-request.days :],
            days=request.days,
            is_synced=bool(points),
        )

    async def ReplaceBrokerRows(self, _: Any, __: Any) -> Any:
        raise AssertionError("only brokers says what a user holds")

    async def DeleteSyncedData(
        self, request: synced_portfolios_pb2.DeleteSyncedDataRequest, context: Any
    ) -> synced_portfolios_pb2.DeleteSyncedDataResponse:
        await self.meet("DeleteSyncedData", context)
        held = self.holdings.pop(request.user_id, holdings_pb2.ListHoldingsResponse())
        return synced_portfolios_pb2.DeleteSyncedDataResponse(
            holdings_count=len(held.holdings),
            positions_count=len(self.positions.pop(request.user_id, [])),
            snapshots_count=len(self.points.pop(request.user_id, [])),
        )

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: holdings_pb2_grpc.add_HoldingServiceServicer_to_server(fake, server),
            lambda server: positions_pb2_grpc.add_PositionServiceServicer_to_server(fake, server),
            lambda server: pnl_pb2_grpc.add_PnlServiceServicer_to_server(fake, server),
            lambda server: synced_portfolios_pb2_grpc.add_SyncedPortfolioServiceServicer_to_server(fake, server),
            *self.own.registrations(),
            *self.watching.registrations(),
            *self.summaries.registrations(),
        ]
