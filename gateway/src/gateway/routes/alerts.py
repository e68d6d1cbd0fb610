"""Price alerts and what has come of them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import WithJsonSchema

from bourse.alerts.v1 import alerts_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Alerts
from gateway.errors import documented
from gateway.market_params import Limit, Stock
from gateway.models.alerts import (
    Alert,
    AlertChange,
    AlertDeleted,
    AlertList,
    AlertsDeleted,
    AlertType,
    Explanation,
    FireList,
    NewAlert,
)
from gateway.security import Owner

router = APIRouter(prefix="/api/alerts", tags=["alerts"], route_class=StrictRoute)

TYPES = {"buy": pb.ALERT_TYPE_BUY, "sell": pb.ALERT_TYPE_SELL}
ERRORS = (400, 401, 403, 429, 503, 504)
BODY_ERRORS = (408, 413, 415)
DEFAULT_FIRES = 20
MAX_CURSOR_LENGTH = 64

TypeInPath = Annotated[AlertType, Path(alias="alert_type", description="When the alert fires.")]
OnlyType = Annotated[
    AlertType | None,
    Query(alias="type", description="Deletes those of one type alone; all without it."),
    WithJsonSchema({"type": "string", "enum": ["buy", "sell"]}),
]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_CURSOR_LENGTH,
        description="`next_cursor` of the answer before; the newest without.",
    ),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_CURSOR_LENGTH}),
]


@router.get("/{user_id}", response_model=AlertList, responses=documented(*ERRORS))
async def list_alerts(user_id: Owner, alerts: Alerts) -> pb.ListAlertsResponse:
    """List all alerts of the user by type, fired and expired ones too, oldest first."""
    return await alerts.ListAlerts(pb.ListAlertsRequest(user_id=user_id))


@router.post("/{user_id}", response_model=Alert, responses=documented(*ERRORS, *BODY_ERRORS, 404))
async def set_alert(user_id: Owner, wanted: NewAlert, alerts: Alerts) -> pb.Alert:
    """Set the alert of a type and symbol: make it, or replace its price, note and expiry and arm it again.

    `buy` fires once at a price at or below the target, `sell` at or above it; on the next tick when that is so
    already.
    """
    request = pb.SetAlertRequest(
        user_id=user_id,
        type=TYPES[wanted.type],
        symbol=wanted.symbol,
        price=format(wanted.price, "f"),
        note=wanted.note,
        expires_at=_timestamp(wanted.expires_at),
    )
    reply = await alerts.SetAlert(request)
    return reply.alert


@router.delete("/{user_id}", response_model=AlertsDeleted, responses=documented(*ERRORS))
async def delete_alerts(user_id: Owner, alerts: Alerts, only_type: OnlyType = None) -> pb.DeleteAlertsResponse:
    """Delete all alerts of the user, or all of one type. What they fired before stays in the history."""
    chosen = pb.ALERT_TYPE_UNSPECIFIED if only_type is None else TYPES[only_type]
    return await alerts.DeleteAlerts(pb.DeleteAlertsRequest(user_id=user_id, type=chosen))


@router.get("/{user_id}/history", response_model=FireList, responses=documented(*ERRORS))
async def list_fires(
    user_id: Owner, alerts: Alerts, limit: Limit = DEFAULT_FIRES, cursor: Cursor = None
) -> pb.ListFiresResponse:
    """List what has fired, newest first: each fire with the ticks that prove it, and how it was told."""
    return await alerts.ListFires(pb.ListFiresRequest(user_id=user_id, limit=limit, cursor=cursor or ""))


@router.put("/{user_id}/{alert_type}/{symbol}", response_model=Alert, responses=documented(*ERRORS, *BODY_ERRORS, 404))
async def update_alert(
    user_id: Owner, alert_type: TypeInPath, symbol: Stock, *, wanted: AlertChange, alerts: Alerts
) -> pb.Alert:
    """Replace the price of an alert and arm it again; a fired or expired one too."""
    request = pb.UpdateAlertRequest(
        user_id=user_id,
        type=TYPES[alert_type],
        symbol=symbol,
        price=format(wanted.price, "f"),
        note=wanted.told_note,
        expires_at=_timestamp(wanted.expires_at),
    )
    reply = await alerts.UpdateAlert(request)
    return reply.alert


@router.delete("/{user_id}/{alert_type}/{symbol}", response_model=AlertDeleted, responses=documented(*ERRORS, 404))
async def delete_alert(user_id: Owner, alert_type: TypeInPath, symbol: Stock, alerts: Alerts) -> pb.DeleteAlertResponse:
    """Delete an alert: it does not fire any more. What it fired before stays in the history."""
    request = pb.DeleteAlertRequest(user_id=user_id, type=TYPES[alert_type], symbol=symbol)
    return await alerts.DeleteAlert(request)


@router.get("/{user_id}/{alert_type}/{symbol}/explain", response_model=Explanation, responses=documented(*ERRORS, 404))
async def explain_alert(
    user_id: Owner, alert_type: TypeInPath, symbol: Stock, alerts: Alerts
) -> pb.ExplainAlertResponse:
    """Explain why an alert has not fired: what was evaluated since its arming, what was not, and what came nearest."""
    request = pb.ExplainAlertRequest(user_id=user_id, type=TYPES[alert_type], symbol=symbol)
    return await alerts.ExplainAlert(request)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
