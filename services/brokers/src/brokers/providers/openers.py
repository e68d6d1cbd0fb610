"""Opens the server-wide sessions, each by one job in a child."""

from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.domain.sessions import Login, OpenedSession
from brokers.providers.children.nursery import Nursery
from brokers.providers.children.refusals import ChildRefused, Refusal, broker_error
from brokers.providers.children.wire import JSON
from brokers.providers.roots import VendorRoots

CALL_TIMEOUT_SECONDS = 7.0
# Below the 10 seconds that the server gives a call, so that the caller hears what became of it.
DEADLINE_SECONDS = 9.0

_JOBS = {Broker.ZERODHA: ("kite_session", "request_token"), Broker.ICICI: ("breeze_session", "api_session")}


class ChildOpener:
    """Exchanges one-time codes for sessions at the brokers, or in the sandbox for its keys."""

    def __init__(self, nursery: Nursery, roots: VendorRoots) -> None:
        self._nursery = nursery
        self._roots = roots

    async def open(self, login: Login) -> OpenedSession:
        """Return what the broker gave for the code; it is asked once, whatever it answers.

        Raises:
            CredentialsMalformed: the key is the sandbox's and there is none.
            BrokerTokenInvalid: the broker refused.
            ServiceError: another one of `brokers.domain.errors` when the broker failed.
        """
        is_simulated = self._roots.is_simulated(login.api_key)
        job, code = _JOBS[login.broker]
        parameters: dict[str, JSON] = {
            "root_url": self._roots.of(login.broker, is_simulated=is_simulated),
            "timeout_seconds": CALL_TIMEOUT_SECONDS,
        }
        secrets = {"api_key": login.api_key, "api_secret": login.api_secret, code: login.code}
        try:
            token = await self._nursery.run(
                job, secrets=secrets, parameters=parameters, deadline_seconds=DEADLINE_SECONDS
            )
        except ChildRefused as refused:
            raise broker_error(login.broker, refused) from None
        if not isinstance(token, str) or not token:
            raise broker_error(login.broker, ChildRefused(Refusal.INVALID_ANSWER))
        return OpenedSession(Secret(token), is_simulated=is_simulated)
