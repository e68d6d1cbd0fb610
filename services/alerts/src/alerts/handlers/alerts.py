"""The alert service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from alerts.domain.alerts import AlertType
from alerts.domain.desk import AlertDesk, AlertTypeInvalid
from alerts.messages import alert_message
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc

_TYPES = {alerts_pb2.ALERT_TYPE_BUY: AlertType.BUY, alerts_pb2.ALERT_TYPE_SELL: AlertType.SELL}


class AlertService(alerts_pb2_grpc.AlertServiceServicer):
    """Keeps the price alerts of each user."""

    def __init__(self, desk: AlertDesk) -> None:
        self._desk = desk

    async def ListAlerts(  # the contract's name
        self,
        request: alerts_pb2.ListAlertsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.ListAlertsResponse:
        """List all alerts of a user, fired ones too."""
        alerts = await self._desk.list_alerts(request.user_id)
        return alerts_pb2.ListAlertsResponse(
            buy=[alert_message(alert) for alert in alerts if alert.type is AlertType.BUY],
            sell=[alert_message(alert) for alert in alerts if alert.type is AlertType.SELL],
        )

    async def SetAlert(  # the contract's name
        self,
        request: alerts_pb2.SetAlertRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.SetAlertResponse:
        """Set the alert of a type and instrument."""
        alert_type = _TYPES.get(request.type)
        if alert_type is None:
            raise AlertTypeInvalid
        alert = await self._desk.set_alert(request.user_id, alert_type, symbol=request.symbol, price=request.price)
        return alerts_pb2.SetAlertResponse(alert=alert_message(alert))
