"""The alert service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from alerts.domain.alerts import AlertType
from alerts.domain.desk import AlertDesk, AlertTypeInvalid
from alerts.domain.explanations import Explainer
from alerts.domain.history import History
from alerts.messages import alert_message, explanation_message, fire_message, read_expiry
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc

_TYPES = {alerts_pb2.ALERT_TYPE_BUY: AlertType.BUY, alerts_pb2.ALERT_TYPE_SELL: AlertType.SELL}


class AlertService(alerts_pb2_grpc.AlertServiceServicer):
    """Keeps the price alerts of each user."""

    def __init__(self, desk: AlertDesk, history: History, explainer: Explainer) -> None:
        self._desk = desk
        self._history = history
        self._explainer = explainer

    async def ListAlerts(  # the contract's name
        self,
        request: alerts_pb2.ListAlertsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.ListAlertsResponse:
        """List all alerts of a user, fired and expired ones too."""
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
        alert = await self._desk.set_alert(
            request.user_id,
            _type_of(request.type),
            symbol=request.symbol,
            price=request.price,
            note=request.note if request.HasField("note") else None,
            expires_at=read_expiry(request.expires_at) if request.HasField("expires_at") else None,
        )
        return alerts_pb2.SetAlertResponse(alert=alert_message(alert))

    async def UpdateAlert(  # the contract's name
        self,
        request: alerts_pb2.UpdateAlertRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.UpdateAlertResponse:
        """Replace the price of an alert and arm it again."""
        alert = await self._desk.update_alert(
            request.user_id,
            _type_of(request.type),
            symbol=request.symbol,
            price=request.price,
            note=request.note if request.HasField("note") else None,
            expires_at=read_expiry(request.expires_at) if request.HasField("expires_at") else None,
        )
        return alerts_pb2.UpdateAlertResponse(alert=alert_message(alert))

    async def DeleteAlert(  # the contract's name
        self,
        request: alerts_pb2.DeleteAlertRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.DeleteAlertResponse:
        """Delete an alert."""
        deleted = await self._desk.delete_alert(request.user_id, _type_of(request.type), symbol=request.symbol)
        return alerts_pb2.DeleteAlertResponse(symbol=deleted.symbol)

    async def DeleteAlerts(  # the contract's name
        self,
        request: alerts_pb2.DeleteAlertsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.DeleteAlertsResponse:
        """Delete all alerts of a user, or all of one type."""
        is_all = request.type == alerts_pb2.ALERT_TYPE_UNSPECIFIED
        alert_type = None if is_all else _type_of(request.type)
        return alerts_pb2.DeleteAlertsResponse(deleted=await self._desk.delete_alerts(request.user_id, alert_type))

    async def ListFires(  # the contract's name
        self,
        request: alerts_pb2.ListFiresRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.ListFiresResponse:
        """List a user's fires and how they were told, newest first."""
        page = await self._history.list_fires(request.user_id, limit=request.limit, cursor=request.cursor)
        deliveries = await self._history.deliveries_of(page.fires)
        return alerts_pb2.ListFiresResponse(
            fires=[fire_message(fire, told) for fire, told in zip(page.fires, deliveries, strict=True)],
            next_cursor="" if page.next_cursor is None else page.next_cursor.written,
        )

    async def ExplainAlert(  # the contract's name
        self,
        request: alerts_pb2.ExplainAlertRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> alerts_pb2.ExplainAlertResponse:
        """Explain why an alert has not fired."""
        alert = await self._desk.find_alert(request.user_id, _type_of(request.type), symbol=request.symbol)
        return explanation_message(await self._explainer.explain(alert))


def _type_of(named: "alerts_pb2.AlertType.ValueType") -> AlertType:
    alert_type = _TYPES.get(named)
    if alert_type is None:
        raise AlertTypeInvalid
    return alert_type
