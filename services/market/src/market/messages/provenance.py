"""Moments, and where prices come from."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from bourse.market.v1 import quotes_pb2
from market.domain.quotes import Provenance


def provenance_message(provenance: Provenance | None) -> quotes_pb2.Provenance | None:
    """Say where a price comes from; None for none."""
    if provenance is None:
        return None
    return quotes_pb2.Provenance(
        source=provenance.source,
        as_of=timestamp(provenance.as_of),
        freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{provenance.freshness.value}"),
    )


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment; None for none."""
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC to the second, as RFC 3339 writes it."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
