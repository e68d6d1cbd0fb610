"""What became of syncs."""

from collections.abc import Iterator
from contextlib import contextmanager

from brokers.domain import errors
from brokers.domain.brokers import Broker
from chassis.errors import ServiceError
from chassis.metrics import counter

OK = "ok"
# A few words and no more, whatever is raised one day.
OTHER = "other"
REASONS = {
    each.reason: each.reason.lower()
    for each in (
        errors.BrokerTokenInvalid,
        errors.BrokerThrottled,
        errors.BrokerUnavailable,
        errors.BrokerAnswerInvalid,
        errors.BrokerTimedOut,
        errors.CredentialsMalformed,
        errors.SyncRunning,
        errors.SyncQueueFull,
        errors.SyncSuperseded,
        errors.PortfolioUnavailable,
    )
}

_SYNCS = counter("bourse_brokers_syncs", "Syncs asked for, by what became of them.", ["broker", "outcome"])

# A counter that is not there before its first event shows no increase with it.
for broker in Broker:
    for outcome in (OK, *REASONS.values()):
        _SYNCS.labels(broker.value, outcome)


@contextmanager
def counting(broker: Broker) -> Iterator[None]:
    """Count what becomes of a sync in the block."""
    try:
        yield
    except ServiceError as error:
        _SYNCS.labels(broker.value, REASONS.get(error.reason, OTHER)).inc()
        raise
    _SYNCS.labels(broker.value, OK).inc()
