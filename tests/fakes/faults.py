"""What all fake services share: how they misbehave."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bourse.market.v1 import quotes_pb2
from chassis.errors import Code, ServiceError

NOW = datetime(2026, 4, 7, 9, 0, tzinfo=UTC)


class Refusal(ServiceError):
    """A domain error of a fake service."""

    def __init__(self, code: Code, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.reason = reason  # type: ignore[misc]
        self.retry_after_seconds = retry_after_seconds


@dataclass
class Faults:
    """How a fake service misbehaves."""

    failure: ServiceError | None = None
    delay_seconds: float = 0.0
    calls: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    async def meet(self, call: str, context: Any) -> None:
        self.calls.append(call)
        self.request_ids += [value for key, value in context.invocation_metadata() if key == "x-request-id"]
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.failure is not None:
            raise self.failure


def provenance(freshness: int = quotes_pb2.FRESHNESS_LIVE) -> quotes_pb2.Provenance:
    made = quotes_pb2.Provenance(source="zerodha", freshness=freshness)  # type: ignore[arg-type]
    made.as_of.FromDatetime(NOW)
    return made
