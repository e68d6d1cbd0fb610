"""Opens the server-wide sessions for those who may, and says how they stand."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from brokers.domain.brokers import Broker
from brokers.domain.credentials import CredentialField, credential
from brokers.domain.errors import ActivationRunning, AdminRequired, BrokerNotConfigured
from brokers.domain.feeding import Feeding
from brokers.domain.ports import SessionOpener
from brokers.domain.secrets import Secret
from brokers.domain.sessions import (
    ActiveSession,
    FeedStatus,
    Login,
    OpenedSession,
    SessionBook,
    SessionStatus,
    expiry_of,
)
from chassis.clock import Clock
from chassis.tasks import end

log = logging.getLogger(__name__)

_CODES = {Broker.ZERODHA: CredentialField.REQUEST_TOKEN, Broker.ICICI: CredentialField.API_SESSION}


@dataclass(frozen=True, slots=True)
class Activation:
    """What somebody gave to open a session with.

    Attributes:
        broker: whose session.
        code: the one-time code of the broker's redirect.
        api_key: the application's key; None means the configured one.
        api_secret: its secret; None means the configured one.
        admin_secret: what proves the permission; None when nothing was given.
        caller_is_admin: says whether the caller's verified token is an administrator's.
    """

    broker: Broker
    code: Secret
    api_key: Secret | None
    api_secret: Secret | None
    admin_secret: Secret | None
    caller_is_admin: bool


@dataclass(frozen=True, slots=True)
class BrokerConfiguration:
    """What operators configured for a broker's session; each None when they did not.

    Attributes:
        admin_secret: what callers must give; without one only administrators may call.
        api_key: the application's key where callers give none.
        api_secret: its secret where callers give none.
    """

    admin_secret: Secret | None = None
    api_key: Secret | None = None
    api_secret: Secret | None = None


class SessionDesk:
    """Takes activations and questions.

    Args:
        book: where sessions are kept.
        opener: exchanges codes.
        configuration: what operators configured, by broker.
        feeding: knows how Zerodha's feed stands.
        clock: tells when a session was opened.
    """

    def __init__(
        self,
        book: SessionBook,
        opener: SessionOpener,
        configuration: Mapping[Broker, BrokerConfiguration],
        *,
        feeding: Feeding,
        clock: Clock,
    ) -> None:
        self._book = book
        self._opener = opener
        self._configuration = configuration
        self._feeding = feeding
        self._clock = clock
        self._running: dict[Broker, asyncio.Task[None]] = {}

    def status(self, broker: Broker) -> SessionStatus:
        """Return how a broker's session stands."""
        feed = self._feeding.status if broker is Broker.ZERODHA else FeedStatus()
        return self._book.status(broker, feed)

    async def activate(self, activation: Activation) -> SessionStatus:
        """Open a session in place of the earlier one, which is kept when that fails.

        The exchange goes on when the caller leaves: its code is spent, whoever waits for the answer.

        Raises:
            AdminRequired: the caller may not.
            BrokerNotConfigured: there is no key to open it with.
            CredentialsMalformed: what was given cannot be a credential.
            ActivationRunning: one is being opened already.
            ServiceError: one of `brokers.domain.errors` when the broker refused or did not answer.
        """
        self._require_permission(activation)
        login = self._login(activation)
        if login.broker in self._running:
            raise ActivationRunning(login.broker)
        task = asyncio.create_task(self._open(login))
        self._running[login.broker] = task
        task.add_done_callback(lambda done: self._finished(login.broker, done))
        await asyncio.shield(task)
        return self.status(login.broker)

    async def finish(self) -> None:
        """Give up the exchanges that are under way."""
        tasks = tuple(self._running.values())
        await end(*tasks)

    def _require_permission(self, activation: Activation) -> None:
        expected = self._configuration[activation.broker].admin_secret
        given = activation.admin_secret
        is_allowed = given is not None and expected.matches(given) if expected else activation.caller_is_admin
        if not is_allowed:
            log.warning("activation not allowed", extra={"broker": activation.broker.value})
            raise AdminRequired(activation.broker, needs_secret=bool(expected))

    def _login(self, activation: Activation) -> Login:
        broker = activation.broker
        configured = self._configuration[broker]
        api_key = configured.api_key if activation.api_key is None else activation.api_key
        api_secret = configured.api_secret if activation.api_secret is None else activation.api_secret
        if api_key is None or api_secret is None:
            raise BrokerNotConfigured(broker)
        return Login(
            broker=broker,
            api_key=credential(CredentialField.API_KEY, api_key.reveal()),
            api_secret=credential(CredentialField.API_SECRET, api_secret.reveal()),
            code=credential(_CODES[broker], activation.code.reveal()),
        )

    async def _open(self, login: Login) -> None:
        # Whatever the exchange takes, the token cannot be older than the question.
        asked_at = self._clock.now()
        opened = await self._opener.open(login)
        session = _session_of(login, opened, asked_at=asked_at, set_at=self._clock.now())
        self._book.put(session)
        log.info(
            "session activated",
            extra={
                "broker": login.broker.value,
                "expires_at": session.expires_at.isoformat(),
                "is_simulated": session.is_simulated,
            },
        )

    def _finished(self, broker: Broker, task: "asyncio.Task[None]") -> None:
        del self._running[broker]
        with suppress(asyncio.CancelledError):
            task.exception()  # asked for, so that a failure whose caller has left is not complained about


def _session_of(login: Login, opened: OpenedSession, *, asked_at: datetime, set_at: datetime) -> ActiveSession:
    return ActiveSession(
        broker=login.broker,
        api_key=login.api_key,
        # Breeze's calls are signed with it; Kite's are not.
        api_secret=login.api_secret if login.broker is Broker.ICICI else None,
        token=opened.token,
        set_at=set_at,
        expires_at=expiry_of(login.broker, asked_at),
        is_simulated=opened.is_simulated,
    )
