"""The server-wide sessions: what one is, when it ends, and which one is in use. They live in memory alone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from brokers.domain.brokers import Broker
from brokers.domain.errors import SessionInactive
from brokers.domain.secrets import Secret
from chassis.clock import Clock

log = logging.getLogger(__name__)

INDIA = ZoneInfo("Asia/Kolkata")
TOKEN_TYPES = {Broker.ZERODHA: "access_token"}

# Breeze's documented 24 hours never come first: the next midnight is at most 24 hours away, and India moves no clocks.
_DIES_AT = {Broker.ZERODHA: time(6), Broker.ICICI: time(0)}


def expiry_of(broker: Broker, opened_at: datetime) -> datetime:
    """Return when the broker ends a session that was opened at `opened_at`: the next 06:00 (Zerodha) or 00:00 IST."""
    local = opened_at.astimezone(INDIA)
    end = datetime.combine(local.date(), _DIES_AT[broker], INDIA)
    if end <= local:
        end += timedelta(days=1)
    return end.astimezone(opened_at.tzinfo)


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """A session as it is used.

    Attributes:
        broker: whose it is.
        api_key: the application's key.
        api_secret: its secret, which Breeze's calls are signed with; None where none is needed any more.
        token: Kite's access token, or Breeze's session token.
        set_at: when it was opened; tells it apart from the broker's earlier ones.
        expires_at: when the broker ends it.
        is_simulated: says that it is the sandbox's.
    """

    broker: Broker
    api_key: Secret
    api_secret: Secret | None
    token: Secret
    set_at: datetime
    expires_at: datetime
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class Login:
    """What a session is opened with.

    Attributes:
        broker: who is asked.
        api_key: the application's key.
        api_secret: its secret.
        code: the one-time code of the broker's redirect.
    """

    broker: Broker
    api_key: Secret
    api_secret: Secret
    code: Secret


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """What a broker gave for a login.

    Attributes:
        token: Kite's access token, or Breeze's session token.
        is_simulated: says that the sandbox gave it.
    """

    token: Secret
    is_simulated: bool


class FeedState(StrEnum):
    """How a live feed of prices stands."""

    OFF = "OFF"
    CONNECTING = "CONNECTING"
    LIVE = "LIVE"
    STALE = "STALE"
    CLOSED = "CLOSED"
    CONNECTED = "CONNECTED"


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a live feed stands.

    Attributes:
        state: how it stands.
        last_tick_at: when its last price came; None before the first.
    """

    state: FeedState = FeedState.OFF
    last_tick_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """How a broker's server-wide session stands.

    Attributes:
        broker: whose it is.
        is_initialized: says whether one was opened since the service started.
        is_valid: says whether its token is still good.
        token_type: the kind of token; None without a session, and where the broker has no name for it.
        set_at: when it was opened; None without one.
        expires_at: when its token dies; None without one.
        feed: how the broker's feed stands.
        is_simulated: says that it is the sandbox's.
    """

    broker: Broker
    is_initialized: bool
    is_valid: bool
    token_type: str | None
    set_at: datetime | None
    expires_at: datetime | None
    feed: FeedStatus
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is remembered of a session when its token is gone."""

    set_at: datetime
    expires_at: datetime
    is_simulated: bool


Listener = Callable[[ActiveSession], None]


class SessionBook:
    """The session in use of each broker. A token that is dead by the clock, or was refused, is never handed out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[Broker, ActiveSession] = {}
        self._newest: dict[Broker, _Opened] = {}
        self._on_opened: list[Listener] = []
        self._on_refused: list[Listener] = []
        self._on_ended: list[Listener] = []

    def on_opened(self, listener: Listener) -> None:
        """Call back with each session that is opened."""
        self._on_opened.append(listener)

    def on_refused(self, listener: Listener) -> None:
        """Call back with each session whose token the broker refused."""
        self._on_refused.append(listener)

    def on_ended(self, listener: Listener) -> None:
        """Call back with each session that ended in its own time."""
        self._on_ended.append(listener)

    def put(self, session: ActiveSession) -> None:
        """Use this session from now on, in place of the broker's earlier one."""
        self._sessions[session.broker] = session
        self._newest[session.broker] = _Opened(session.set_at, session.expires_at, session.is_simulated)
        for listener in self._on_opened:
            listener(session)

    def usable(self, broker: Broker) -> ActiveSession | None:
        """Return the broker's session; None without one and when its token is dead."""
        session = self._sessions.get(broker)
        if session is None or session.expires_at <= self._clock.now():
            return None
        return session

    def for_prices(self, broker: Broker) -> ActiveSession:
        """Return the session that real prices may be asked over.

        Raises:
            SessionInactive: there is none, or it is the sandbox's.
        """
        session = self.usable(broker)
        if session is None:
            raise SessionInactive(broker)
        if session.is_simulated:
            raise SessionInactive(broker, is_simulated=True)
        return session

    def refuse(self, session: ActiveSession) -> None:
        """Let go of a session whose token the broker refused; says nothing of one that took its place."""
        if self._let_go(session):
            log.warning("session refused", extra={"broker": session.broker.value})
            for listener in self._on_refused:
                listener(session)

    def end(self, session: ActiveSession) -> None:
        """Let go of a session whose time is over; says nothing of one that took its place."""
        if self._let_go(session):
            log.info("session expired", extra={"broker": session.broker.value})
            for listener in self._on_ended:
                listener(session)

    def _let_go(self, session: ActiveSession) -> bool:
        if self._sessions.get(session.broker) is not session:
            return False
        del self._sessions[session.broker]
        return True

    def status(self, broker: Broker, feed: FeedStatus) -> SessionStatus:
        """Return how the broker's session stands now."""
        newest = self._newest.get(broker)
        return SessionStatus(
            broker=broker,
            is_initialized=newest is not None,
            is_valid=self.usable(broker) is not None,
            token_type=None if newest is None else TOKEN_TYPES.get(broker),
            set_at=None if newest is None else newest.set_at,
            expires_at=None if newest is None else newest.expires_at,
            feed=feed,
            is_simulated=newest is not None and newest.is_simulated,
        )
