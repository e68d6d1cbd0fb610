"""Market's gRPC services: each method reads, calls and replies."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from market.domain.answers import Answer

# Fresh for a second; refreshed behind the reader for five more; and while market fails, the last answer, which the
# gateway then marks stale, for a minute.
PUBLIC_PRICES = (("cache-control", "public, max-age=1, stale-while-revalidate=5, stale-if-error=60"),)

# Facts of the package change with the package alone.
REFERENCE_DATA = (("cache-control", "public, max-age=3600, stale-if-error=86400"),)

SHORTEST_SECONDS = 1
STALE_SECONDS = 600


def serving_until(moments: Iterable[datetime], now: datetime) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an answer that may be kept until the first of these moments.

    While market fails the gateway gives it for ten minutes more, marked stale.
    """
    seconds = int((min(moments, default=now) - now).total_seconds())
    return (("cache-control", f"public, max-age={max(seconds, SHORTEST_SECONDS)}, stale-if-error={STALE_SECONDS}"),)


def serving(answer: Answer[Any], now: datetime) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an answer: it may be kept as long as it serves."""
    return serving_until([answer.serves_until], now)
