"""What a call to market that failed means: no answer, whatever the cause."""

import logging

import grpc

from chassis.rpc_client import reason_of
from portfolio.domain.market import MarketUnavailable

log = logging.getLogger(__name__)

# Market is away or slow, which its health check says once; anything else is a fault that nobody else would tell of.
_EXPECTED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def no_answer(error: grpc.aio.AioRpcError, *, asked_for: str) -> MarketUnavailable:
    """Log a failed call and return what to raise of it."""
    level = logging.DEBUG if error.code() in _EXPECTED else logging.WARNING
    status = {"asked_for": asked_for, "status": error.code().name, "reason": reason_of(error)}
    log.log(level, "market did not answer", extra=status)
    return MarketUnavailable()
