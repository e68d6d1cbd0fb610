"""What a process counts, for Prometheus.

Counters and histograms are made once, beside what they count, as Prometheus' library means them. What is looked at and
not counted (depths, states, ages) is read whenever somebody asks, for as long as the one who can tell is open.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

__all__ = ["SECONDS", "Counter", "Histogram", "Values", "counter", "exposition", "histogram", "reading", "value_of"]

log = logging.getLogger(__name__)

# From a cached answer to the longest call a client waits for.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Values = float | Mapping[tuple[str, ...], float]
"""What a reading gives: one value, or one for each combination of its labels' values."""

_REGISTRY = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)
GCCollector(registry=_REGISTRY)


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """Make a counter; `name` ends in what is counted, and `_total` is put behind it."""
    return Counter(name, documentation, labels, registry=_REGISTRY)


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = SECONDS
) -> Histogram:
    """Make a histogram; `name` ends in the unit."""
    return Histogram(name, documentation, labels, buckets=bounds, registry=_REGISTRY)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    name: str
    documentation: str
    labels: tuple[str, ...]
    read: Callable[[], Values]
    is_counter: bool


class _Readings(Collector):
    """Those that are open now; several of one name are one metric with the labels of all."""

    def __init__(self) -> None:
        self.open: list[_Reading] = []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for reading in tuple(self.open):
            kind = CounterMetricFamily if reading.is_counter else GaugeMetricFamily
            family = families.setdefault(reading.name, kind(reading.name, reading.documentation, labels=reading.labels))
            for labels, value in _values_of(reading).items():
                family.add_metric(labels, value)
        yield from families.values()


_READINGS = _Readings()
_REGISTRY.register(_READINGS)


def _values_of(reading: _Reading) -> Mapping[tuple[str, ...], float]:
    try:
        values = reading.read()
    except Exception:
        # One that cannot tell must not hide what all the others say.
        log.exception("metric not read", extra={"metric": reading.name})
        return {}
    return values if isinstance(values, Mapping) else {(): values}


@contextmanager
def reading(
    name: str, documentation: str, read: Callable[[], Values], *, labels: Sequence[str] = (), is_counter: bool = False
) -> Iterator[None]:
    """Have a value read whenever somebody asks for the metrics, until the block is left.

    Args:
        name: the metric's name, which ends in its unit; a counter's without `_total`.
        documentation: what it says.
        read: returns the value at once; what it raises is logged, and the value is left out.
        labels: the labels' names.
        is_counter: whether the value only grows while the process runs.
    """
    mine = _Reading(name, documentation, tuple(labels), read, is_counter)
    _READINGS.open.append(mine)
    try:
        yield
    finally:
        _READINGS.open.remove(mine)


def exposition() -> bytes:
    """Return everything in Prometheus' text format."""
    return generate_latest(_REGISTRY)


def value_of(name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """Return what a sample says now; None when there is none of this name with exactly these labels."""
    return _REGISTRY.get_sample_value(name, dict(labels or {}))
