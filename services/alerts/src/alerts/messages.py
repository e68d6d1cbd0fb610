"""The domain's values as the contract's messages; what the handlers answer and the outbox tells."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.deliveries import Delivery, FireId
from alerts.domain.explanations import Explanation, Stretch
from alerts.domain.fires import Fire
from alerts.domain.tape import EvaluatedTick
from alerts.domain.targets import format_target
from alerts.domain.terms import ExpiryInvalid
from alerts.domain.watch import Candidate
from bourse.alerts.v1 import alerts_pb2, events_pb2
from bourse.market.v1 import quotes_pb2
from chassis.outbox import OutboxEvent

FIRED_SUBJECT = "events.alerts.fired"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_OF_A_DAY = 86_400

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
        note=alert.note,
    )
    if alert.updated_at is not None:
        message.updated_at.CopyFrom(_timestamp(alert.updated_at))
    if alert.fired is not None:
        message.fired_at.CopyFrom(_timestamp(alert.fired.at))
        message.fired_price = alert.fired.price
        message.provenance.CopyFrom(_provenance(alert.fired))
    if alert.expires_at is not None:
        message.expires_at.CopyFrom(_timestamp(alert.expires_at))
    message.is_expired = alert.has_expired
    return message


class EventUnreadable(ValueError):
    """What was told is no event of a fire."""

    def __init__(self) -> None:
        super().__init__("the message is no AlertFired")


def fire_message(fire: Fire, deliveries: Sequence[Delivery]) -> alerts_pb2.Fire:
    """Return a fire, what proves it and how it was told as others see it."""
    message = alerts_pb2.Fire(
        alert_id=str(fire.alert_id),
        generation=fire.generation,
        type=_TYPES[fire.type],
        instrument=fire.instrument,
        symbol=fire.symbol,
        price=format_target(fire.price),
        fired_at=_timestamp(fire.tick.at),
        tick=_tick_message(fire.tick),
        committed_at=_timestamp(fire.committed_at),
        crossed_during_gap=fire.crossed_during_gap,
        note=fire.note,
        latency_milliseconds=(fire.committed_at - fire.tick.at) / timedelta(milliseconds=1),
        deliveries=[_delivery_message(delivery) for delivery in deliveries],
    )
    if fire.before is not None:
        message.before.CopyFrom(_tick_message(fire.before))
    return message


def explanation_message(explanation: Explanation) -> alerts_pb2.ExplainAlertResponse:
    """Return what is known of an alert as others see it."""
    message = alerts_pb2.ExplainAlertResponse(
        alert=alert_message(explanation.alert),
        state=explanation.state.value,
        evaluated=[_stretch_message(stretch) for stretch in explanation.evaluated],
        not_evaluated=[_stretch_message(stretch) for stretch in explanation.not_evaluated],
        sentence=explanation.sentence,
    )
    if explanation.closest is not None:
        message.closest.CopyFrom(_tick_message(explanation.closest))
    return message


def read_expiry(timestamp: Timestamp) -> datetime:
    """Return the moment that a message names.

    Raises:
        ExpiryInvalid: it names none that can be counted with.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ExpiryInvalid from error


def fired_event(alert: Alert, reached: Candidate, committed_at: datetime) -> OutboxEvent:
    """Return the event that tells of a fire; its message id is the same however often it is told.

    The stream keeps it also when the account is gone: it has the alert without its note.
    """
    message = events_pb2.AlertFired(
        alert=alert_message(alert),
        publisher_id=reached.publisher_id,
        epoch=reached.epoch,
        shard=reached.shard,
        sequence=reached.sequence,
        committed_at=_timestamp(committed_at),
    )
    message.alert.ClearField("note")
    return OutboxEvent(
        subject=FIRED_SUBJECT,
        message_id=f"{alert.id}:{alert.generation}",
        payload=message.SerializeToString(),
        created_at=committed_at,
    )


def read_fired(payload: bytes) -> FireId:
    """Return which fire an event tells of.

    Raises:
        EventUnreadable: it is no event of a fire.
        FireIdInvalid: no fire has such an id.
    """
    try:
        alert = events_pb2.AlertFired.FromString(payload).alert
    except DecodeError as error:
        raise EventUnreadable from error
    return FireId.read(alert.id, alert.generation)


def _delivery_message(delivery: Delivery) -> alerts_pb2.Delivery:
    return alerts_pb2.Delivery(
        channel=delivery.channel.value,
        state=delivery.state.value,
        reason="" if delivery.reason is None else delivery.reason.value,
        attempts=delivery.attempts,
        sent_at=None if delivery.sent_at is None else _timestamp(delivery.sent_at),
        message_id=delivery.message_id,
    )


def _tick_message(tick: EvaluatedTick) -> alerts_pb2.EvaluatedTick:
    return alerts_pb2.EvaluatedTick(
        price=tick.price,
        at=_timestamp(tick.at),
        source=tick.source,
        publisher_id=tick.publisher_id,
        epoch=tick.epoch,
        shard=tick.shard,
        sequence=tick.sequence,
        freshness=None if tick.freshness is None else _freshness(tick.freshness),
    )


def _stretch_message(stretch: Stretch) -> alerts_pb2.Stretch:
    reason = "" if stretch.reason is None else stretch.reason.value
    return alerts_pb2.Stretch(from_at=_timestamp(stretch.from_at), to_at=_timestamp(stretch.to_at), reason=reason)


def _provenance(price: FiringPrice) -> quotes_pb2.Provenance:
    return quotes_pb2.Provenance(source=price.source, as_of=_timestamp(price.at), freshness=_freshness(price.freshness))


def _freshness(freshness: Freshness) -> quotes_pb2.Freshness.ValueType:
    return quotes_pb2.Freshness.Value(f"FRESHNESS_{freshness.value}")


def _timestamp(moment: datetime) -> Timestamp:
    # In a storm of fires these are most of what is made; `FromDatetime` takes twice as long.
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * _SECONDS_OF_A_DAY + since.seconds, nanos=since.microseconds * 1_000)
