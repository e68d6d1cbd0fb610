"""The domain's values as the contract's messages, and back; what the handlers answer and the bus is told."""

from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from bourse.brokers.v1 import brokers_pb2, events_pb2, quotes_pb2, sessions_pb2, syncs_pb2
from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerMissing
from brokers.domain.quotes import BrokerQuote
from brokers.domain.session_events import SessionEvent, SessionEventKind
from brokers.domain.sessions import SessionStatus
from brokers.domain.syncs import Sync

BROKER_MESSAGES = {Broker.ZERODHA: brokers_pb2.BROKER_ZERODHA, Broker.ICICI: brokers_pb2.BROKER_ICICI}

_BROKERS = {number: broker for broker, number in BROKER_MESSAGES.items()}


def broker_of(number: "brokers_pb2.Broker.ValueType") -> Broker:
    """Return the broker a message names.

    Raises:
        BrokerMissing: it names none.
    """
    broker = _BROKERS.get(number)
    if broker is None:
        raise BrokerMissing
    return broker


def session_status_message(status: SessionStatus) -> sessions_pb2.SessionStatus:
    """Return how a session stands, as others see it."""
    message = sessions_pb2.SessionStatus(
        broker=BROKER_MESSAGES[status.broker],
        initialized=status.is_initialized,
        valid=status.is_valid,
        token_type=status.token_type,
        feed=sessions_pb2.FeedState.Value(f"FEED_STATE_{status.feed.state.value}"),
        is_simulated=status.is_simulated,
    )
    if status.set_at is not None:
        message.set_at.CopyFrom(timestamp(status.set_at))
    if status.expires_at is not None:
        message.expires_at.CopyFrom(timestamp(status.expires_at))
    if status.feed.last_tick_at is not None:
        message.last_tick_at.CopyFrom(timestamp(status.feed.last_tick_at))
    return message


def sync_message(sync: Sync) -> syncs_pb2.Sync:
    """Return a finished sync as its caller sees it."""
    return syncs_pb2.Sync(
        id=sync.id,
        broker=BROKER_MESSAGES[sync.broker],
        synced_at=timestamp(sync.synced_at),
        holdings_count=sync.counts.holdings,
        positions_count=sync.counts.positions,
        net_positions_count=sync.counts.net_positions,
        is_simulated=sync.is_simulated,
    )


def quote_message(quote: BrokerQuote) -> quotes_pb2.BrokerQuote:
    """Return what an instrument costs, as others see it."""
    return quotes_pb2.BrokerQuote(
        instrument=quote.instrument,
        last_price=quote.last_price,
        as_of=timestamp(quote.as_of),
        previous_close=quote.previous_close,
        open=quote.open,
        high=quote.high,
        low=quote.low,
        volume=quote.volume,
    )


def session_event_message(event: SessionEvent) -> Message:
    """Return what is told of a session."""
    broker = BROKER_MESSAGES[event.broker]
    if event.kind is SessionEventKind.ACTIVATED:
        return events_pb2.SessionActivated(broker=broker, expires_at=timestamp(event.at))
    if event.kind is SessionEventKind.EXPIRING:
        return events_pb2.SessionExpiring(broker=broker, expires_at=timestamp(event.at))
    return events_pb2.SessionExpired(broker=broker, expired_at=timestamp(event.at), was_refused=event.was_refused)


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as messages carry it."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
