"""Brokers with behaviour and without brokers."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from bourse.brokers.v1 import brokers_pb2, syncs_pb2, syncs_pb2_grpc
from bourse.brokers.v1 import sessions_pb2 as broker_sessions_pb2
from bourse.brokers.v1 import sessions_pb2_grpc as broker_sessions_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal
from fakes.portfolio import FakePortfolio


class FakeBrokers(Faults):
    """Syncs that succeed unless told otherwise, and server-wide sessions that an admin may open."""

    def __init__(self, portfolio: FakePortfolio) -> None:
        super().__init__()
        self.portfolio = portfolio
        self.admin_secret = uuid.uuid4().hex
        self.requests: list[Any] = []
        self.statuses: dict[int, broker_sessions_pb2.SessionStatus] = {}
        self.was_cancelled = asyncio.Event()

    async def SyncZerodha(self, request: syncs_pb2.SyncZerodhaRequest, context: Any) -> syncs_pb2.SyncZerodhaResponse:
        return syncs_pb2.SyncZerodhaResponse(sync=await self._sync(request, brokers_pb2.BROKER_ZERODHA, context))

    async def SyncIcici(self, request: syncs_pb2.SyncIciciRequest, context: Any) -> syncs_pb2.SyncIciciResponse:
        return syncs_pb2.SyncIciciResponse(sync=await self._sync(request, brokers_pb2.BROKER_ICICI, context))

    async def _sync(self, request: Any, broker: Any, context: Any) -> syncs_pb2.Sync:
        self.requests.append(request)
        try:
            await self.meet("Sync", context)
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        self.portfolio.sync(request.user_id)
        sync = syncs_pb2.Sync(id="sync-1", broker=broker, holdings_count=1, positions_count=3, net_positions_count=2)
        sync.synced_at.FromDatetime(NOW)
        return sync

    async def GetSessionStatus(
        self, request: broker_sessions_pb2.GetSessionStatusRequest, context: Any
    ) -> broker_sessions_pb2.GetSessionStatusResponse:
        await self.meet("GetSessionStatus", context)
        none = broker_sessions_pb2.SessionStatus(broker=request.broker, feed=broker_sessions_pb2.FEED_STATE_OFF)
        return broker_sessions_pb2.GetSessionStatusResponse(status=self.statuses.get(request.broker, none))

    async def ActivateZerodha(
        self, request: broker_sessions_pb2.ActivateZerodhaRequest, context: Any
    ) -> broker_sessions_pb2.ActivateZerodhaResponse:
        status = await self._activate(request, brokers_pb2.BROKER_ZERODHA, context)
        status.token_type = "access_token"
        return broker_sessions_pb2.ActivateZerodhaResponse(status=status)

    async def ActivateIcici(
        self, request: broker_sessions_pb2.ActivateIciciRequest, context: Any
    ) -> broker_sessions_pb2.ActivateIciciResponse:
        status = await self._activate(request, brokers_pb2.BROKER_ICICI, context)
        return broker_sessions_pb2.ActivateIciciResponse(status=status)

    async def _activate(self, request: Any, broker: Any, context: Any) -> broker_sessions_pb2.SessionStatus:
        self.requests.append(request)
        await self.meet("Activate", context)
        if not request.caller_is_admin and request.secret != self.admin_secret:
            raise Refusal(Code.PERMISSION_DENIED, "ADMIN_REQUIRED", "only an administrator can open this session")
        status = broker_sessions_pb2.SessionStatus(
            broker=broker, initialized=True, valid=True, feed=broker_sessions_pb2.FEED_STATE_CONNECTING
        )
        status.set_at.FromDatetime(NOW)
        status.expires_at.FromDatetime(NOW)
        self.statuses[broker] = status
        return status

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [
            lambda server: syncs_pb2_grpc.add_SyncServiceServicer_to_server(fake, server),
            lambda server: broker_sessions_pb2_grpc.add_SessionServiceServicer_to_server(fake, server),
        ]
