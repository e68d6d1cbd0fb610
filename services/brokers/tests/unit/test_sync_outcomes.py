import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import SyncQueueFull
from brokers.handlers.outcomes import counting
from chassis.errors import Code, ServiceError
from chassis.metrics import value_of


class Unheard(ServiceError):
    """A refusal that no sync had so far."""

    code = Code.INTERNAL
    reason = "UNHEARD"


def told(outcome: str, broker: Broker = Broker.ICICI) -> float:
    return value_of("bourse_brokers_syncs_total", {"broker": broker.value, "outcome": outcome}) or 0.0


def test_a_sync_that_ends_well_is_counted_for_its_broker() -> None:
    before, other = told("ok"), told("ok", Broker.ZERODHA)
    with counting(Broker.ICICI):
        pass
    assert (told("ok"), told("ok", Broker.ZERODHA)) == (before + 1, other)


@pytest.mark.parametrize(
    ("error", "outcome"), [(SyncQueueFull(), "sync_queue_full"), (Unheard("never heard of"), "other")]
)
def test_a_refusal_is_counted_by_its_reason(error: ServiceError, outcome: str) -> None:
    before, ended_well = told(outcome), told("ok")
    with pytest.raises(type(error)), counting(Broker.ICICI):
        raise error
    assert (told(outcome), told("ok")) == (before + 1, ended_well)
