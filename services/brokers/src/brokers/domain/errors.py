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
    retry_after_seconds = DOWN_RETRY_SECONDS

    def __init__(self, broker: Broker) -> None:
        super().__init__(f"{broker.full_name} is not answering; try again shortly")


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
