"""Ticks made of quotes: sources that bring none are asked for them again and again while their venues trade.

After the close it goes on for as long as delayed prices of the session may still come.

A quote becomes a tick when it is newer than its instrument's last one, or of the same moment with another price. What
is stale or closed is no news and becomes none, so that prices of one instrument never run backwards.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.clock import Clock
from market.domain.budgets import Window
from market.domain.freshness import LATE_AT_MOST
from market.domain.instruments import Instrument
from market.domain.ports import Calendar
from market.domain.quote_sources import QuoteSources
from market.domain.quotes import Freshness, Quote
from market.domain.reuse import VENDOR_SECONDS
from market.domain.sessions import Venue, venue_of
from market.domain.ticks import Tick, microseconds_of

# As many as vendors answer in one call, which has to end within the time that one question has.
INSTRUMENTS_A_PART = 200
# The rest of a vendor's budget is for callers.
SHARE_OF_BUDGET = 0.5

_CURRENT = frozenset({Freshness.LIVE, Freshness.DELAYED})


@dataclass(frozen=True, slots=True)
class Origin:
    """What all ticks of a batch have in common: whose they are, and how far they can be relied on."""

    source: str
    freshness: Freshness


def pace_within(wanted_seconds: float, calls: int, windows: Iterable[Window]) -> float:
    """Return how many seconds lie between two rounds, so that they spend half of a budget at most.

    Args:
        wanted_seconds: the fastest pace.
        calls: how many calls a round makes.
        windows: what every vendor allows that may be asked.
    """
    return max([wanted_seconds, *(calls * each.seconds / (each.calls * SHARE_OF_BUDGET) for each in windows)])


class PolledTicks:
    """Asks for quotes in bulk, and says what is new in them.

    Args:
        instruments: what is asked for; nothing that somebody else publishes ticks of.
        sources: who is asked.
        calendar: when the venues trade.
        clock: what the time is.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        sources: QuoteSources,
        *,
        calendar: Calendar,
        clock: Clock,
    ) -> None:
        self._sources = sources
        self._calendar = calendar
        self._clock = clock
        self._parts = _parts_by_venue(instruments)
        self._last: dict[str, Tick] = {}

    @property
    def calls_a_round(self) -> int:
        """Return how many calls it takes to ask for everything."""
        return sum(map(len, self._parts.values()))

    @property
    def is_trading(self) -> bool:
        """Say whether any venue trades; past what the calendar knows one is taken to."""
        return any(self._trades_at(venue, self._clock.now()) for venue in self._parts)

    def due(self) -> Sequence[Sequence[Instrument]]:
        """Return what trades now, or of whose session delayed prices may still come, a call's worth each."""
        now = self._clock.now()
        return [
            part
            for venue, parts in self._parts.items()
            if self._trades_at(venue, now) or self._trades_at(venue, now - LATE_AT_MOST)
            for part in parts
        ]

    async def ask(self, instruments: Sequence[Instrument]) -> Mapping[Origin, Sequence[Tick]]:
        """Return what is new of some instruments by origin, oldest first.

        Raises:
            SourcesUnavailable: there is no quote at all, because sources fail.
        """
        news: defaultdict[Origin, list[Tick]] = defaultdict(list)
        for instrument, quote in (await self._sources.latest(instruments, in_bulk=True)).items():
            tick = _tick_of(quote)
            if quote.provenance.freshness in _CURRENT and self._is_new(tick):
                self._last[instrument] = tick
                news[Origin(quote.provenance.source, quote.provenance.freshness)].append(tick)
        return {origin: sorted(ticks, key=lambda tick: tick.at_microseconds) for origin, ticks in news.items()}

    def is_answered(self, instruments: Iterable[Instrument]) -> bool:
        """Say whether a source answered for any of the instruments just now, and nothing only stands in for it."""
        return any(self._sources.age_seconds(each) < VENDOR_SECONDS for each in instruments)

    def _trades_at(self, venue: Venue, moment: datetime) -> bool:
        return self._calendar.sessions_of(venue).is_open_at(moment) is not False

    def _is_new(self, tick: Tick) -> bool:
        last = self._last.get(tick.instrument)
        if last is None:
            return True
        if tick.at_microseconds == last.at_microseconds:
            return tick.last_price != last.last_price
        return tick.at_microseconds > last.at_microseconds


def _parts_by_venue(instruments: Iterable[Instrument]) -> Mapping[Venue, Sequence[Sequence[Instrument]]]:
    by_venue: defaultdict[Venue, list[Instrument]] = defaultdict(list)
    for each in instruments:
        by_venue[venue_of(each)].append(each)
    return {
        venue: [there[begin : begin + INSTRUMENTS_A_PART] for begin in range(0, len(there), INSTRUMENTS_A_PART)]
        for venue, there in by_venue.items()
    }


def _tick_of(quote: Quote) -> Tick:
    return Tick(
        instrument=quote.instrument.id,
        last_price=quote.last_price,
        at_microseconds=microseconds_of(quote.provenance.as_of),
        previous_close=quote.previous_close,
        volume=quote.volume,
    )
