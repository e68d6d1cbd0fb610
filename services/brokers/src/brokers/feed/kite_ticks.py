"""Turns what Kite says of its tokens into ticks of our instruments."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from brokers.domain.ticks import Tick
from brokers.feed.kite_frames import Price

_MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds_of(moment: datetime) -> int:
    """Return a moment in microseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


class TickMaker:
    """Makes ticks; those of an instrument never go back in time.

    A price is of the second that its exchange names, of its receipt where none is named, and never of the future.

    Args:
        tokens: Kite's tokens by instrument id.
    """

    def __init__(self, tokens: Mapping[str, int]) -> None:
        self._instruments = {token: instrument for instrument, token in tokens.items()}
        self._latest: dict[str, int] = {}

    def ticks(self, prices: Iterable[Price], received_at: datetime) -> list[Tick]:
        """Return the ticks of prices, in order, without those that are not above 0 and of tokens nobody asked for."""
        now = microseconds_of(received_at)
        ticks = []
        for token, last_price, close, volume, exchange_seconds in prices:
            instrument = self._instruments.get(token)
            if instrument is None or last_price <= 0:
                continue
            made_at = min(now, exchange_seconds * _MICROSECONDS) if exchange_seconds else now
            made_at = self._latest[instrument] = max(made_at, self._latest.get(instrument, 0))
            ticks.append(Tick(instrument, last_price, made_at, close or None, volume))
        return ticks
