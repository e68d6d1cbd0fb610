"""Where prices come from and when, as the contract says it."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from bourse.market.v1 import quotes_pb2
from portfolio.domain.quotes import Provenance


def provenance_message(provenance: Provenance) -> quotes_pb2.Provenance:
    """Return where a price comes from as others see it."""
    return quotes_pb2.Provenance(
        source=provenance.source,
        as_of=timestamp_message(provenance.as_of),
        freshness=quotes_pb2.Freshness.Value(f"FRESHNESS_{provenance.freshness.value}"),
    )


def timestamp_message(moment: datetime) -> Timestamp:
    """Return an aware moment as others see it."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
