from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.fires import Fire
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from alerts.messages import fire_message
from bourse.market.v1 import quotes_pb2

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
TICK = EvaluatedTick(149.5, START, "zerodha", "feed", 7, 3, 9, Position(1, 9), Freshness.LIVE)
FIRE = Fire(
    alert_id=42,
    generation=3,
    type=AlertType.BUY,
    instrument="NSE:TCS",
    symbol="TCS",
    price=Decimal(150),
    tick=TICK,
    before=TICK,
    committed_at=START,
    crossed_during_gap=False,
    note=None,
)


@pytest.mark.parametrize("freshness", list(Freshness))
def test_each_tick_of_a_fire_says_how_fresh_it_was(freshness: Freshness) -> None:
    message = fire_message(replace(FIRE, before=replace(TICK, freshness=freshness)), [])
    assert message.tick.freshness == quotes_pb2.FRESHNESS_LIVE
    assert message.before.freshness == quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness.value}")


def test_what_was_not_noted_is_absent() -> None:
    message = fire_message(replace(FIRE, before=replace(TICK, freshness=None)), [])
    assert message.tick.HasField("freshness")
    assert not message.before.HasField("freshness")
