from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message

from bourse.brokers.v1 import brokers_pb2, events_pb2, sessions_pb2
from brokers.domain.brokers import Broker
from brokers.domain.errors import BrokerMissing
from brokers.domain.quotes import BrokerQuote
from brokers.domain.session_events import SessionEvent, SessionEventKind
from brokers.domain.sessions import FeedState, FeedStatus, SessionStatus
from brokers.messages import broker_of, quote_message, session_event_message, session_status_message, timestamp

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


def a_status(feed: FeedStatus) -> SessionStatus:
    return SessionStatus(
        broker=Broker.ICICI,
        is_initialized=False,
        is_valid=False,
        token_type=None,
        set_at=None,
        expires_at=None,
        feed=feed,
    )


@pytest.mark.parametrize("state", FeedState)
def test_every_state_of_a_feed_has_a_name_in_the_contract(state: FeedState) -> None:
    message = session_status_message(a_status(FeedStatus(state, NOON)))
    assert sessions_pb2.FeedState.Name(message.feed) == f"FEED_STATE_{state.value}"
    assert message.last_tick_at.ToDatetime(tzinfo=UTC) == NOON


def test_what_is_unknown_is_absent() -> None:
    message = session_status_message(a_status(FeedStatus()))
    assert not any(message.HasField(name) for name in ("token_type", "set_at", "expires_at", "last_tick_at"))
    quote = quote_message(BrokerQuote("NSE:TCS", 3842.5, NOON))
    assert (quote.instrument, quote.last_price, quote.as_of.ToDatetime(tzinfo=UTC)) == ("NSE:TCS", 3842.5, NOON)
    assert not any(quote.HasField(name) for name in ("previous_close", "open", "high", "low", "volume"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            SessionEventKind.ACTIVATED,
            events_pb2.SessionActivated(broker=brokers_pb2.BROKER_ICICI, expires_at=timestamp(NOON)),
        ),
        (
            SessionEventKind.EXPIRING,
            events_pb2.SessionExpiring(broker=brokers_pb2.BROKER_ICICI, expires_at=timestamp(NOON)),
        ),
        (
            SessionEventKind.EXPIRED,
            events_pb2.SessionExpired(broker=brokers_pb2.BROKER_ICICI, expired_at=timestamp(NOON)),
        ),
    ],
)
def test_every_event_has_its_message(kind: SessionEventKind, message: Message) -> None:
    event = SessionEvent(kind, Broker.ICICI, set_at=NOON - timedelta(hours=1), at=NOON)
    assert session_event_message(event) == message


def test_a_message_names_a_broker() -> None:
    assert broker_of(brokers_pb2.BROKER_ZERODHA) is Broker.ZERODHA
    with pytest.raises(BrokerMissing):
        broker_of(brokers_pb2.BROKER_UNSPECIFIED)
