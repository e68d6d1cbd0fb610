"""Alerts with behaviour and without a matcher."""

import uuid
from collections.abc import Callable
from datetime import UTC
from typing import Any

from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Faults, Refusal

DEFAULT_FIRES, MAX_FIRES = 20, 50


def instrument_of(symbol: str) -> str:
    return symbol.upper() if ":" in symbol else f"NASDAQ:{symbol.upper()}"


class FakeAlerts(Faults):
    """Alerts by user, and what a test says has fired, newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, list[alerts_pb2.Alert]] = {}
        self.fires: dict[str, list[alerts_pb2.Fire]] = {}
        self.explanations: dict[str, alerts_pb2.ExplainAlertResponse] = {}
        self.max_alerts = 500

    def _found(self, request: Any) -> alerts_pb2.Alert:
        wanted = (request.type, instrument_of(request.symbol))
        for alert in self.alerts.get(request.user_id, []):
            if (alert.type, alert.instrument) == wanted:
                return alert
        raise Refusal(Code.NOT_FOUND, "ALERT_NOT_FOUND", "there is no alert of this type and symbol")

    def _remove(self, user_id: str, gone: list[alerts_pb2.Alert]) -> None:
        self.alerts[user_id] = [alert for alert in self.alerts.get(user_id, []) if alert not in gone]

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
        _require_future(request)
        try:
            alert = self._found(request)
        except Refusal:
            return alerts_pb2.SetAlertResponse(alert=self._made(request))
        for field in ("note", "expires_at"):
            alert.ClearField(field)
        return alerts_pb2.SetAlertResponse(alert=_armed_again(alert, request))

    def _made(self, request: alerts_pb2.SetAlertRequest) -> alerts_pb2.Alert:
        own = self.alerts.setdefault(request.user_id, [])
        if len(own) >= self.max_alerts:
            limit = f"there are {self.max_alerts} alerts already, which is the most a user may have"
            raise Refusal(Code.RESOURCE_EXHAUSTED, "TOO_MANY_ALERTS", limit)
        alert = alerts_pb2.Alert(
            id=uuid.uuid4().hex,
            user_id=request.user_id,
            type=request.type,
            instrument=instrument_of(request.symbol),
            symbol=request.symbol.upper(),
            price=request.price,
            generation=1,
        )
        alert.created_at.FromDatetime(NOW)
        own.append(_with_terms(alert, request))
        return alert

    async def UpdateAlert(self, request: alerts_pb2.UpdateAlertRequest, context: Any) -> alerts_pb2.UpdateAlertResponse:
        await self.meet("UpdateAlert", context)
        _require_future(request)
        return alerts_pb2.UpdateAlertResponse(alert=_armed_again(self._found(request), request))

    async def DeleteAlert(self, request: alerts_pb2.DeleteAlertRequest, context: Any) -> alerts_pb2.DeleteAlertResponse:
        await self.meet("DeleteAlert", context)
        alert = self._found(request)
        self._remove(request.user_id, [alert])
        return alerts_pb2.DeleteAlertResponse(symbol=alert.symbol)

    async def DeleteAlerts(
        self, request: alerts_pb2.DeleteAlertsRequest, context: Any
    ) -> alerts_pb2.DeleteAlertsResponse:
        await self.meet("DeleteAlerts", context)
        gone = [alert for alert in self.alerts.get(request.user_id, []) if request.type in (0, alert.type)]
        self._remove(request.user_id, gone)
        return alerts_pb2.DeleteAlertsResponse(deleted=len(gone))

    async def ListFires(self, request: alerts_pb2.ListFiresRequest, context: Any) -> alerts_pb2.ListFiresResponse:
        await self.meet("ListFires", context)
        if not 0 <= request.limit <= MAX_FIRES:
            raise Refusal(Code.INVALID_ARGUMENT, "LIMIT_INVALID", f"{request.limit} fires cannot be asked for")
        if not (request.cursor or "0").isdecimal():
            raise Refusal(Code.INVALID_ARGUMENT, "CURSOR_INVALID", "the cursor is none of ours")
        start = int(request.cursor or 0)
        end = start + (request.limit or DEFAULT_FIRES)
        fires = self.fires.get(request.user_id, [])
        return alerts_pb2.ListFiresResponse(fires=fires[start:end], next_cursor=str(end) if end < len(fires) else "")

    async def ExplainAlert(
        self, request: alerts_pb2.ExplainAlertRequest, context: Any
    ) -> alerts_pb2.ExplainAlertResponse:
        await self.meet("ExplainAlert", context)
        alert = self._found(request)
        told = alerts_pb2.ExplainAlertResponse(alert=alert, state="armed", sentence="No tick was evaluated yet.")
        told.MergeFrom(self.explanations.get(alert.id, alerts_pb2.ExplainAlertResponse()))
        return told

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: alerts_pb2_grpc.add_AlertServiceServicer_to_server(fake, server)]


def _require_future(request: Any) -> None:
    if request.HasField("expires_at") and request.expires_at.ToDatetime(tzinfo=UTC) <= NOW:
        raise Refusal(Code.INVALID_ARGUMENT, "EXPIRY_INVALID", "an alert expires later than now")


def _with_terms(alert: alerts_pb2.Alert, request: Any) -> alerts_pb2.Alert:
    """Take over a note and an expiry that are said; an empty note removes the one there is."""
    if request.HasField("note"):
        alert.note = request.note
    if not alert.note:
        alert.ClearField("note")
    if request.HasField("expires_at"):
        alert.expires_at.CopyFrom(request.expires_at)
    return alert


def _armed_again(alert: alerts_pb2.Alert, request: Any) -> alerts_pb2.Alert:
    for field in ("fired_at", "fired_price", "provenance", "is_expired"):
        alert.ClearField(field)
    alert.price = request.price
    alert.generation += 1
    alert.updated_at.FromDatetime(NOW)
    return _with_terms(alert, request)
