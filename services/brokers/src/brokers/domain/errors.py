"""What can go wrong between a caller and a broker. No message ever repeats what a broker answered."""

from brokers.domain.brokers import Broker
from chassis.errors import Code, ServiceError

THROTTLED_RETRY_SECONDS = 60.0
DOWN_RETRY_SECONDS = 30.0


class BrokerTokenInvalid(ServiceError):
    """The broker refused the credentials: a wrong key or secret, or a one-time code that is used or too old."""

    code = Code.UNAUTHENTICATED
    reason = "BROKER_TOKEN_INVALID"

    def __init__(self, broker: Broker, problem: str) -> None:
        super().__init__(f"{broker.full_name} refused the credentials: {problem}")


class BrokerThrottled(ServiceError):
    """The broker says that it was asked too often."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "BROKER_THROTTLED"
    retry_after_seconds = THROTTLED_RETRY_SECONDS

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"{broker.full_name} limits how often this key may ask; try again in a minute")


class BrokerUnavailable(ServiceError):
    """The broker could not be reached, or says that it cannot answer."""

    code = Code.UNAVAILABLE
    reason = "BROKER_UNAVAILABLE"

    def __init__(self, broker: Broker, *, retry_after_seconds: float = DOWN_RETRY_SECONDS) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{broker.full_name} is not answering; try again shortly")


class SandboxUnavailable(BrokerUnavailable):
    """The sandbox could not be reached; the broker itself was not asked."""

    def __init__(self, broker: Broker, *, retry_after_seconds: float = DOWN_RETRY_SECONDS) -> None:
        super().__init__(broker, retry_after_seconds=retry_after_seconds)
        remedy = "`make sandbox` starts it; if it runs already, give it and `make run` the same SANDBOX_PORT"
        self.args = (f"the sandbox that plays {broker.full_name} is not answering; {remedy}",)


class BrokerAnswerInvalid(ServiceError):
    """The broker answered something that is not what it documents."""

    code = Code.UNAVAILABLE
    reason = "BROKER_ANSWER_INVALID"
    retry_after_seconds = DOWN_RETRY_SECONDS

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"{broker.full_name} answered something that cannot be read; nothing was changed")


class BrokerTimedOut(ServiceError):
    """The broker did not answer before the deadline."""

    code = Code.DEADLINE_EXCEEDED
    reason = "BROKER_TIMEOUT"

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"{broker.full_name} did not answer in time; nothing was changed")


class SessionInactive(ServiceError):
    """There is no server-wide session of the broker that may be used for prices."""

    code = Code.UNAVAILABLE
    reason = "SESSION_INACTIVE"

    def __init__(self, broker: Broker, *, is_simulated: bool = False) -> None:
        problem = "is the sandbox's, which has no real prices" if is_simulated else "is not active"
        super().__init__(f"the server's {broker.full_name} session {problem}; an administrator can activate one")


class AdminRequired(ServiceError):
    """The caller may not open a server-wide session."""

    code = Code.PERMISSION_DENIED
    reason = "ADMIN_REQUIRED"

    def __init__(self, broker: Broker, *, needs_secret: bool) -> None:
        if needs_secret:
            super().__init__(f"opening the server's {broker.full_name} session needs the admin secret")
            return
        what = f"this server has no {broker.name}_ADMIN_SECRET"
        super().__init__(f"{what}; only an administrator's token opens its {broker.full_name} session")


class BrokerNotConfigured(ServiceError):
    """Nobody gave the key that the session is opened with."""

    code = Code.FAILED_PRECONDITION
    reason = "BROKER_NOT_CONFIGURED"

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"the server has no {broker.full_name} API key and secret; give both or configure them")


class ActivationRunning(ServiceError):
    """Another activation of the same broker's session is under way."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "ACTIVATION_RUNNING"
    retry_after_seconds = 10.0

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"the server's {broker.full_name} session is being opened already; see its status")


class TooManyInstruments(ServiceError):
    """More instruments were asked for than one call answers."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_INSTRUMENTS"

    def __init__(self, asked: int, most: int) -> None:
        super().__init__(f"{asked} instruments were asked for; a call answers at most {most}")


class BudgetSpent(ServiceError):
    """The broker would have to be asked more often than it allows."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "BROKER_BUDGET_SPENT"

    def __init__(self, broker: Broker, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{broker.full_name} may not be asked more often now; try again shortly")


class FeedUnwanted(ServiceError):
    """Market takes its prices from elsewhere; real ones beside simulated ones would be taken for the same."""

    code = Code.UNAVAILABLE
    reason = "FEED_UNWANTED"

    def __init__(self) -> None:
        super().__init__("market does not take prices from zerodha; MARKET_PROVIDERS says from where")


class MarketUnavailable(ServiceError):
    """Market does not say which instruments there are, or when they trade."""

    code = Code.UNAVAILABLE
    reason = "MARKET_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("market is not answering; try again shortly")


class CredentialsMalformed(ServiceError):
    """What was given cannot be a credential; the value is never repeated."""

    code = Code.INVALID_ARGUMENT
    reason = "CREDENTIALS_MALFORMED"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")


class SyncRunning(ServiceError):
    """A sync of the same user and broker is under way."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "SYNC_RUNNING"
    retry_after_seconds = 5.0

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"a sync with {broker.full_name} is running already; the one-time code was not used")


class SyncQueueFull(ServiceError):
    """So many syncs wait that another one would wait too long."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "SYNC_QUEUE_FULL"
    retry_after_seconds = 10.0

    def __init__(self) -> None:
        super().__init__("too many syncs are waiting; the one-time code was not used, try again shortly")


class SyncSuperseded(ServiceError):
    """A sync that began later, or a deletion, is already in."""

    code = Code.ABORTED
    reason = "SYNC_SUPERSEDED"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("a later sync or a deletion came first; this sync changed nothing")


class PortfolioUnavailable(ServiceError):
    """Portfolio, which keeps the rows, does not answer."""

    code = Code.UNAVAILABLE
    reason = "PORTFOLIO_UNAVAILABLE"
    retry_after_seconds = 5.0

    def __init__(self, *, is_code_spent: bool) -> None:
        spent = "as far as known nothing was changed, and another try needs a new one-time code from the broker"
        whole = "nothing was changed and the one-time code was not used; try again shortly"
        super().__init__(f"the portfolio is not answering; {spent if is_code_spent else whole}")


class BrokerMissing(ServiceError):
    """No broker was named."""

    code = Code.INVALID_ARGUMENT
    reason = "BROKER_MISSING"

    def __init__(self) -> None:
        super().__init__("a broker must be named")
