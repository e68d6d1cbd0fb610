"""Alerts with behaviour and without a matcher."""

import uuid
from collections.abc import Callable
from typing import Any

from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal


class FakeAlerts(Faults):
    """Alerts by user."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, list[alerts_pb2.Alert]] = {}

    async def ListAlerts(self, request: alerts_pb2.ListAlertsRequest, context: Any) -> alerts_pb2.ListAlertsResponse:
        await self.meet("ListAlerts", context)
        alerts = self.alerts.get(request.user_id, [])
        return alerts_pb2.ListAlertsResponse(
            buy=[alert for alert in alerts if alert.type == alerts_pb2.ALERT_TYPE_BUY],
            sell=[alert for alert in alerts if alert.type == alerts_pb2.ALERT_TYPE_SELL],
        )

    async def SetAlert(self, request: alerts_pb2.SetAlertRequest, context: Any) -> alerts_pb2.SetAlertResponse:
        await self.meet("SetAlert", context)
        if request.symbol == "NOPE":
            raise Refusal(Code.NOT_FOUND, "SYMBOL_UNKNOWN", "no market knows NOPE")
        alert = alerts_pb2.Alert(
            id=uuid.uuid4().hex,
            user_id=request.user_id,
            type=request.type,
            instrument=f"NASDAQ:{request.symbol}",
            symbol=request.symbol,
            price=request.price,
            generation=1,
        )
        alert.created_at.FromDatetime(NOW)
        self.alerts.setdefault(request.user_id, []).append(alert)
        return alerts_pb2.SetAlertResponse(alert=alert)

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: alerts_pb2_grpc.add_AlertServiceServicer_to_server(fake, server)]
