"""Price alerts."""

from fastapi import APIRouter

from bourse.alerts.v1 import alerts_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Alerts
from gateway.errors import documented
from gateway.models.alerts import Alert, AlertList, NewAlert
from gateway.security import Owner

router = APIRouter(prefix="/api/alerts", tags=["alerts"], route_class=StrictRoute)

TYPES = {"buy": pb.ALERT_TYPE_BUY, "sell": pb.ALERT_TYPE_SELL}


@router.get("/{user_id}", response_model=AlertList, responses=documented(400, 401, 403, 429, 503, 504))
async def list_alerts(user_id: Owner, alerts: Alerts) -> pb.ListAlertsResponse:
    """List all alerts of the user by type, fired ones too, oldest first."""
    return await alerts.ListAlerts(pb.ListAlertsRequest(user_id=user_id))


@router.post("/{user_id}", response_model=Alert, responses=documented(400, 401, 403, 404, 408, 413, 415, 429, 503, 504))
async def set_alert(user_id: Owner, wanted: NewAlert, alerts: Alerts) -> pb.Alert:
    """Set the alert of a type and symbol: make it, or replace its price and arm it again.

    `buy` fires once at a price at or below the target, `sell` at or above it; on the next tick when that is so
    already.
    """
    request = pb.SetAlertRequest(
        user_id=user_id, type=TYPES[wanted.type], symbol=wanted.symbol, price=format(wanted.price, "f")
    )
    reply = await alerts.SetAlert(request)
    return reply.alert
