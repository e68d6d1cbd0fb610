"""What is told of a server-wide session: that it was opened, that it will end soon, that it has ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from brokers.domain.brokers import Broker
from brokers.domain.sessions import ActiveSession


class SessionEventKind(StrEnum):
    """What happened to a session, by the last word of the event's subject."""

    ACTIVATED = "session_activated"
    EXPIRING = "session_expiring"
    EXPIRED = "session_expired"


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something that happened to a session.

    Attributes:
        kind: what happened.
        broker: whose session it is.
        set_at: when the session was opened.
        at: when it ends, or has ended.
        was_refused: says that the broker refused the token before its time.
    """

    kind: SessionEventKind
    broker: Broker
    set_at: datetime
    at: datetime
    was_refused: bool = False

    @property
    def message_id(self) -> str:
        """Return what makes the event one, however often it is told."""
        return f"{self.broker.value}:{self.set_at.isoformat()}:{self.kind.value}"


def event_of(session: ActiveSession, kind: SessionEventKind) -> SessionEvent:
    """Return what is told of a session whose token is as good as was thought."""
    return SessionEvent(kind, session.broker, session.set_at, session.expires_at)


def refusal_of(session: ActiveSession, refused_at: datetime) -> SessionEvent:
    """Return what is told of a session whose token the broker refused at `refused_at`."""
    return SessionEvent(SessionEventKind.EXPIRED, session.broker, session.set_at, refused_at, was_refused=True)
