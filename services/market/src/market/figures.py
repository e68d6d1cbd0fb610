"""What market tells of itself whenever somebody asks for its metrics, and what it counts of its calls to vendors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from chassis.metrics import Values, counter, histogram, reading
from market.domain.capabilities import Capability
from market.domain.guards import Outcome, SourceGuard
from market.domain.ports import Leadership
from market.domain.snapshot_desk import SnapshotDesk
from market.feed.arrivals import Arrivals

CALLS = counter("bourse_vendor_calls", "Questions to brokers and vendors.", ["vendor", "question", "outcome"])
CALL_SECONDS = histogram("bourse_vendor_seconds", "How long they took to answer.", ["vendor", "question"])

UNKNOWN: Values = {}


def note_call(vendor: str, question: Capability, outcome: Outcome, seconds: float) -> None:
    """Count a call to a broker or vendor."""
    CALLS.labels(vendor, question.value, outcome.value).inc()
    CALL_SECONDS.labels(vendor, question.value).observe(seconds)


@contextmanager
def telling_of_leadership(leadership: Leadership, arrivals: Arrivals) -> Iterator[None]:
    """Tell whether this replica leads, and when ticks came, until the block is left."""
    with (
        reading(
            "bourse_market_leader",
            "Whether this replica publishes ticks, polls vendors and asks for the snapshot: 1 or 0.",
            lambda: float(leadership.is_leading),
        ),
        reading(
            "bourse_market_takeovers",
            "Times that this replica began to lead.",
            lambda: leadership.takeovers,
            is_counter=True,
        ),
        reading(
            "bourse_tick_age_seconds",
            "Time since ticks of a source were last published or heard here.",
            arrivals.ages,
            labels=["source"],
        ),
    ):
        yield


@contextmanager
def telling_of_vendors(guards: Mapping[str, SourceGuard]) -> Iterator[None]:
    """Tell which brokers and vendors are left alone, until the block is left."""
    with reading(
        "bourse_vendor_breaker_open",
        "Whether a broker or vendor is left alone because its last calls failed: 1 or 0.",
        lambda: {(name,): float(guard.is_failing) for name, guard in guards.items()},
        labels=["vendor"],
    ):
        yield


@contextmanager
def telling_of_snapshot(desk: SnapshotDesk) -> Iterator[None]:
    """Tell how old the snapshot is, and whether replicas ask for it that do not lead, until the block is left."""
    with (
        reading(
            "bourse_snapshot_age_seconds",
            "Time since the snapshot was made; absent while there is none.",
            lambda: UNKNOWN if desk.age_seconds is None else desk.age_seconds,
        ),
        reading(
            "bourse_snapshot_asked_out_of_turn",
            "Times that this replica asked for the snapshot without leading, having nothing of the leader's.",
            lambda: desk.asked_out_of_turn,
            is_counter=True,
        ),
    ):
        yield
