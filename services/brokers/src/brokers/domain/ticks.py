"""Price ticks, and how instruments are spread over shards."""

import zlib
from dataclasses import dataclass
from enum import StrEnum

SHARDS = 16


class Freshness(StrEnum):
    """How far a tick can be relied on to be the current price."""

    LIVE = "LIVE"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Tick:
    """One price of one instrument.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        last_price: the traded price, above 0, in the instrument's currency.
        at_microseconds: when the price was made, in microseconds since 1970 UTC.
        previous_close: the previous session's close; None when unknown.
        volume: units traded in the session so far; None where there is no volume.
    """

    instrument: str
    last_price: float
    at_microseconds: int
    previous_close: float | None = None
    volume: int | None = None


def shard_of(instrument_id: str) -> int:
    """Return the shard of an instrument, 0 to 15: crc32 of its id modulo 16."""
    return zlib.crc32(instrument_id.encode()) % SHARDS
