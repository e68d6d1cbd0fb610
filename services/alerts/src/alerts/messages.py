"""The domain's values as the contract's messages; what the handlers answer and the outbox tells."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from alerts.domain.alerts import Alert, AlertType, FiringPrice
from alerts.domain.targets import format_target
from alerts.domain.watch import Candidate
from bourse.alerts.v1 import alerts_pb2, events_pb2
from bourse.market.v1 import quotes_pb2
from chassis.outbox import OutboxEvent

FIRED_SUBJECT = "events.alerts.fired"

_TYPES = {AlertType.BUY: alerts_pb2.ALERT_TYPE_BUY, AlertType.SELL: alerts_pb2.ALERT_TYPE_SELL}


def alert_message(alert: Alert) -> alerts_pb2.Alert:
    """Return an alert as others see it."""
    message = alerts_pb2.Alert(
        id=str(alert.id),
        user_id=alert.user_id,
        type=_TYPES[alert.type],
        instrument=alert.instrument,
        symbol=alert.symbol,
        price=format_target(alert.price),
        generation=alert.generation,
        created_at=_timestamp(alert.created_at),
    )
    if alert.updated_at is not None:
        message.updated_at.CopyFrom(_timestamp(alert.updated_at))
    if alert.fired is not None:
        message.fired_at.CopyFrom(_timestamp(alert.fired.at))
        message.fired_price = alert.fired.price
        message.provenance.CopyFrom(_provenance(alert.fired))
    return message


def fired_event(alert: Alert, reached: Candidate, committed_at: datetime) -> OutboxEvent:
    """Return the event that tells of a fire; its message id is the same however often it is told."""
    message = events_pb2.AlertFired(
        alert=alert_message(alert),
        publisher_id=reached.publisher_id,
        epoch=reached.epoch,
        shard=reached.shard,
        sequence=reached.sequence,
        committed_at=_timestamp(committed_at),
    )
    return OutboxEvent(
        subject=FIRED_SUBJECT,
        message_id=f"{alert.id}:{alert.generation}",
        payload=message.SerializeToString(),
        created_at=committed_at,
    )


def _provenance(price: FiringPrice) -> quotes_pb2.Provenance:
    freshness = quotes_pb2.Freshness.Value(f"FRESHNESS_{price.freshness.value}")
    return quotes_pb2.Provenance(source=price.source, as_of=_timestamp(price.at), freshness=freshness)


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
