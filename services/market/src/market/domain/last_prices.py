"""The last price of each instrument, by the ticks that came."""

from collections.abc import Iterable
from dataclasses import replace

from market.domain.quotes import Provenance, Quote
from market.domain.ticks import Tick


class LastPrices:
    """Holds the newest tick of each instrument of one source; bounded by the number of its instruments.

    Args:
        source: the name of the source whose ticks are recorded.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._ticks: dict[str, Tick] = {}

    def __len__(self) -> int:
        return len(self._ticks)

    def record(self, ticks: Iterable[Tick]) -> None:
        """Take ticks in, oldest first."""
        for tick in ticks:
            self._ticks[tick.instrument] = tick

    def refreshed(self, quote: Quote) -> Quote:
        """Return the quote with the newest tick in it when that is newer and of the same source.

        A tick that counts from another previous close belongs to another session: the quote's open, high and low are
        then no longer known.
        """
        tick = self._ticks.get(quote.instrument.id)
        if tick is None or quote.provenance.source != self._source or tick.at <= quote.provenance.as_of:
            return quote
        provenance = Provenance(self._source, tick.at, quote.provenance.freshness)
        renewed = replace(quote, last_price=tick.last_price, volume=tick.volume, provenance=provenance)
        if tick.previous_close != quote.previous_close:
            return replace(renewed, previous_close=tick.previous_close, open=None, high=None, low=None)
        return replace(
            renewed,
            high=None if quote.high is None else max(quote.high, tick.last_price),
            low=None if quote.low is None else min(quote.low, tick.last_price),
        )
