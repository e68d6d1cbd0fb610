"""Why a child's job brought no answer, in words of ours: no text of a vendor or of an exception crosses the pipe."""

from collections.abc import Callable
from enum import StrEnum

from brokers.domain.brokers import Broker
from brokers.domain.errors import (
    BrokerAnswerInvalid,
    BrokerThrottled,
    BrokerTimedOut,
    BrokerTokenInvalid,
    BrokerUnavailable,
)
from chassis.errors import ServiceError


class Refusal(StrEnum):
    """The kinds of failure there are."""

    TOKEN_INVALID = "token_invalid"  # noqa: S105  # a kind of failure
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    INVALID_ANSWER = "invalid_answer"
    TIMEOUT = "timeout"


class Problem(StrEnum):
    """What a broker found wrong with credentials, as far as it said."""

    ONE_TIME_CODE = "one_time_code"
    CHECKSUM = "checksum"
    API_KEY = "api_key"
    SESSION = "session"
    PERMISSION = "permission"


_SENTENCES = {
    Problem.ONE_TIME_CODE: "the one-time code is wrong, used or too old; log in at the broker again for a new one",
    Problem.CHECKSUM: "the checksum or the secret does not belong to this key and code; log in again for a new code",
    Problem.API_KEY: "the API key is unknown or inactive",
    Problem.PERMISSION: "the key has no permission to read this account",
    Problem.SESSION: "the session has ended; log in at the broker again",
}


class ChildRefused(Exception):
    """A job brought no answer.

    Attributes:
        kind: the kind of failure.
        problem: what is wrong with the credentials; None unless the kind is TOKEN_INVALID.
    """

    def __init__(self, kind: Refusal, problem: Problem | None = None) -> None:
        super().__init__(kind.value if problem is None else f"{kind.value}: {problem.value}")
        self.kind = kind
        self.problem = problem


def token_refused(problem: Problem) -> ChildRefused:
    """Return the refusal that says what is wrong with credentials."""
    return ChildRefused(Refusal.TOKEN_INVALID, problem)


def broker_error(broker: Broker, refused: ChildRefused) -> ServiceError:
    """Return what a caller is told about a refusal."""
    if refused.kind is Refusal.TOKEN_INVALID:
        return BrokerTokenInvalid(broker, _SENTENCES[refused.problem or Problem.ONE_TIME_CODE])
    errors: dict[Refusal, Callable[[Broker], ServiceError]] = {
        Refusal.THROTTLED: BrokerThrottled,
        Refusal.UNAVAILABLE: BrokerUnavailable,
        Refusal.INVALID_ANSWER: BrokerAnswerInvalid,
        Refusal.TIMEOUT: BrokerTimedOut,
    }
    return errors[refused.kind](broker)
