import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.desk import AlertTypeInvalid
from alerts.handlers.alerts import AlertService
from bourse.alerts.v1 import alerts_pb2
from bourse.market.v1 import quotes_pb2

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
CONTEXT: Any = None


class OneDesk:
    """Keeps the alerts that are set, without a word."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    async def list_alerts(self, user_id: str) -> list[Alert]:
        return [alert for alert in self.alerts if alert.user_id == user_id]

    async def set_alert(
        self,
        user_id: str,
        alert_type: AlertType,
        *,
        symbol: str,
        price: str,
        note: str | None,
        expires_at: datetime | None,
    ) -> Alert:
        number = len(self.alerts) + 1
        alert = Alert(number, user_id, alert_type, f"NASDAQ:{symbol}", symbol, Decimal(price), 1, created_at=START)
        self.alerts.append(alert.with_terms(note=note, expires_at=expires_at))
        return self.alerts[-1]


@pytest.fixture
def desk() -> OneDesk:
    return OneDesk()


@pytest.fixture
def service(desk: OneDesk) -> AlertService:
    unused: Any = None
    return AlertService(desk, unused, unused)  # type: ignore[arg-type]  # all of it that these tests use


async def set_alert(service: AlertService, alert_type: "alerts_pb2.AlertType.ValueType") -> alerts_pb2.Alert:
    request = alerts_pb2.SetAlertRequest(user_id="7", type=alert_type, symbol="AAPL", price="150.10")
    return (await service.SetAlert(request, CONTEXT)).alert


async def test_an_armed_alert_is_answered_without_what_it_has_not(service: AlertService) -> None:
    alert = await set_alert(service, alerts_pb2.ALERT_TYPE_SELL)
    expected = alerts_pb2.Alert(
        id="1",
        user_id="7",
        type=alerts_pb2.ALERT_TYPE_SELL,
        instrument="NASDAQ:AAPL",
        symbol="AAPL",
        price="150.10",
        generation=1,
    )
    expected.created_at.FromDatetime(START)
    assert alert == expected


async def test_a_fired_alert_says_when_at_what_price_and_how_fresh_that_was(
    service: AlertService, desk: OneDesk
) -> None:
    price = FiringPrice(START, 149.5, source="sample", freshness=Freshness.SIMULATED)
    alert = Alert(1, "7", AlertType.BUY, "NASDAQ:AAPL", "AAPL", Decimal(150), 2, START, updated_at=START, fired=price)
    desk.alerts.append(alert)
    answer = await service.ListAlerts(alerts_pb2.ListAlertsRequest(user_id="7"), CONTEXT)
    (shown,) = answer.buy
    assert shown.fired_price == 149.5
    assert shown.fired_at.ToDatetime(tzinfo=UTC) == shown.updated_at.ToDatetime(tzinfo=UTC) == START
    assert shown.provenance.source == "sample"
    assert shown.provenance.as_of.ToDatetime(tzinfo=UTC) == START
    assert shown.provenance.freshness == quotes_pb2.FRESHNESS_SIMULATED


async def test_buys_and_sells_are_listed_apart(service: AlertService) -> None:
    await set_alert(service, alerts_pb2.ALERT_TYPE_BUY)
    await set_alert(service, alerts_pb2.ALERT_TYPE_SELL)
    answer = await service.ListAlerts(alerts_pb2.ListAlertsRequest(user_id="7"), CONTEXT)
    assert ([alert.id for alert in answer.buy], [alert.id for alert in answer.sell]) == (["1"], ["2"])


@pytest.mark.parametrize("alert_type", [alerts_pb2.ALERT_TYPE_UNSPECIFIED, 99])
async def test_an_alert_of_no_known_type_is_refused(service: AlertService, alert_type: int) -> None:
    request = alerts_pb2.SetAlertRequest(user_id="7", symbol="AAPL", price="1")
    request.type = alert_type  # type: ignore[assignment]  # what another build could send
    with pytest.raises(AlertTypeInvalid, match=re.escape("buy or sell")):
        await service.SetAlert(request, CONTEXT)
