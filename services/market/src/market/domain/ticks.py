"""Price ticks, and how instruments are spread over shards."""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SHARDS = 16

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tick:
    """One price of one instrument.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        last_price: the traded price, above 0, in the instrument's currency.
        at_microseconds: when the price was made, in microseconds since 1970 UTC.
        previous_close: the previous session's close; None for a first session.
        volume: units traded in the session so far; None where there is no volume.
    """

    instrument: str
    last_price: float
    at_microseconds: int
    previous_close: float | None = None
    volume: int | None = None

    @property
    def at(self) -> datetime:
        """Return when the price was made."""
        return moment_of(self.at_microseconds)


def shard_of(instrument_id: str) -> int:
    """Return the shard of an instrument, 0 to 15: crc32 of its id modulo 16."""
    return zlib.crc32(instrument_id.encode()) % SHARDS


def microseconds_of(moment: datetime) -> int:
    """Return a moment in microseconds since 1970 UTC; negative before."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(at_microseconds: int) -> datetime:
    """Return the moment, in UTC, that lies so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=at_microseconds)
