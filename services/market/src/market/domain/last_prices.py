"""The last price of each instrument, by the ticks that came."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from market.domain.ports import FreshnessRule
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.ticks import Tick


class LastPrices:
    """Holds the newest tick of each instrument by source; bounded by the number of instruments that are recorded.

    Args:
        rule: how far a tick can be relied on.
    """

    def __init__(self, rule: FreshnessRule) -> None:
        self._rule = rule
        self._ticks: defaultdict[str, dict[str, Tick]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._ticks.values()))

    def record(self, source: str, ticks: Iterable[Tick]) -> None:
        """Take in ticks of a source; one that is older than what is held is passed over."""
        newest = self._ticks[source]
        for tick in ticks:
            held = newest.get(tick.instrument)
            if held is None or tick.at_microseconds >= held.at_microseconds:
                newest[tick.instrument] = tick

    def ticked_at(self, source: str, instrument_id: str) -> datetime | None:
        """Return when a source's newest tick of an instrument was made; None when none came."""
        tick = self._ticks[source].get(instrument_id)
        return None if tick is None else tick.at

    def refreshed(self, quote: Quote) -> Quote:
        """Return the quote with the newest tick in it when that is newer and of the same source.

        A tick that counts from another previous close belongs to another session: the quote's open, high and low are
        then no longer known. What a tick does not say stays as the quote has it. A quote that outlived its source is
        live again with a live tick, and stays stale with any other.
        """
        source = quote.provenance.source
        tick = self._ticks[source].get(quote.instrument.id)
        if tick is None or tick.at <= quote.provenance.as_of:
            return quote
        renewed = replace(
            quote,
            last_price=tick.last_price,
            volume=quote.volume if tick.volume is None else tick.volume,
            provenance=Provenance(source, tick.at, self._freshness(quote, tick)),
        )
        if tick.previous_close not in (None, quote.previous_close):
            return replace(renewed, previous_close=tick.previous_close, open=None, high=None, low=None)
        return replace(
            renewed,
            high=None if quote.high is None else max(quote.high, tick.last_price),
            low=None if quote.low is None else min(quote.low, tick.last_price),
        )

    def _freshness(self, quote: Quote, tick: Tick) -> Freshness:
        freshness = self._rule.of(quote.instrument, tick.at)
        outlived = quote.provenance.freshness is Freshness.STALE and freshness is not Freshness.LIVE
        return Freshness.STALE if outlived else freshness
