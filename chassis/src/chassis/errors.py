"""The one tree of errors a service answers with; it knows no transport.

A domain error names a canonical code and a stable reason and builds its own message:

    class AlertNotFound(ServiceError):
        code = Code.NOT_FOUND
        reason = "ALERT_NOT_FOUND"

        def __init__(self, symbol: str) -> None:
            super().__init__(f"there is no alert for {symbol}")
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """The canonical codes, by the names gRPC gives them."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class ServiceError(Exception):
    """Something a caller is told about; the message holds no internals and no secrets.

    Attributes:
        code: the canonical code.
        reason: a stable name for the cause, in UPPER_SNAKE_CASE.
        retry_after_seconds: when trying again may succeed; None when it says nothing about that.
    """

    code: ClassVar[Code] = Code.INTERNAL
    reason: ClassVar[str] = "INTERNAL"
    retry_after_seconds: float | None = None

    @property
    def message(self) -> str:
        """Return the sentence a caller is shown."""
        return str(self)


class DatabaseUnavailable(ServiceError):
    """The database did not answer; nothing was changed, or the change was not acknowledged."""

    code = Code.UNAVAILABLE
    reason = "DATABASE_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("the database is not answering; try again shortly")


class BusUnavailable(ServiceError):
    """The message bus did not answer."""

    code = Code.UNAVAILABLE
    reason = "BUS_UNAVAILABLE"
    retry_after_seconds = 1.0

    def __init__(self) -> None:
        super().__init__("the message bus is not answering; try again shortly")
