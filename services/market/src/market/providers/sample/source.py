"""The sample market as a source of instruments, quotes, daily bars and ticks."""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

import numpy as np

from chassis.clock import Clock
from market.domain.bars import DailyBars
from market.domain.instruments import Instrument
from market.domain.ports import Calendar
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Venue, venue_of
from market.domain.ticks import Tick, microseconds_of, moment_of
from market.providers.reference.listing import Listed
from market.providers.sample.daily import FIRST_DAY, KINDS_WITH_VOLUME, DailyPrices, day_number
from market.providers.sample.hours import simulated_sessions
from market.providers.sample.noise import key_of
from market.providers.sample.stretches import Stretches
from market.providers.sample.venue import Standing, VenuePrices

NAME = "sample"
MODEL = 1  # changes whenever the same seed would give other bars
SLICE_MICROSECONDS = 10_000
LONGEST_CATCH_UP_MICROSECONDS = 1_000_000
LONGEST_REST_SECONDS = 1.0
DAYS_AHEAD = 400


class SampleSource:
    """A deterministic market: the same listing, seed, calendar and time give the same prices in any process.

    Building one blocks for a few tenths of a second.

    Args:
        listing: its instruments.
        calendar: when their venues trade.
        clock: what the time is.
        seed: what all randomness starts from, not negative.
        tick_seconds: seconds between two ticks of an instrument, at most 60.
        is_always_open: whether prices go on moving between sessions.
    """

    name = NAME
    is_simulated = True
    answers_in_bulk = True
    is_paced = True
    freshness = Freshness.SIMULATED

    def __init__(
        self,
        listing: Sequence[Listed],
        calendar: Calendar,
        clock: Clock,
        *,
        seed: int,
        tick_seconds: float,
        is_always_open: bool,
    ) -> None:
        self._listing = listing
        self._clock = clock
        self._seed = seed
        self._tick_interval = round(tick_seconds * 1e6)
        self._is_always_open = is_always_open
        today = clock.now().date()
        self._daily = DailyPrices.make(listing, seed, today + timedelta(days=DAYS_AHEAD))
        members: defaultdict[Venue, list[int]] = defaultdict(list)
        self._places: dict[str, tuple[Venue, int, int]] = {}
        for column, listed in enumerate(listing):
            venue = venue_of(listed.instrument)
            self._places[listed.instrument.id] = (venue, len(members[venue]), column)
            members[venue].append(column)
        self._venues = {venue: self._open(venue, columns, calendar) for venue, columns in members.items()}

    @property
    def configuration(self) -> Mapping[str, str | int]:
        """Return the seed, the model's version and a checksum of the listing."""
        listing = hashlib.sha256(repr(self._listing).encode()).hexdigest()
        return {"seed": self._seed, "model": MODEL, "listing": listing}

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument of the sample market."""
        return [each.instrument for each in self._listing]

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes of now, by instrument id."""
        return self.quotes_at(instruments, self._clock.now())

    async def daily_bars(self, instruments: Sequence[Instrument], *, count: int) -> Sequence[DailyBars]:
        """Return the newest `count` finished bars of each instrument."""
        return [self.bars_at(each, self._clock.now(), count) for each in instruments]

    async def slices(self) -> AsyncIterator[Sequence[Tick]]:
        """Yield the ticks of each 10 ms as they fall due, for ever; what a stalled process missed stays unseen."""
        seen = microseconds_of(self._clock.now())
        while True:
            await self._clock.sleep(self._rest_seconds())
            now = microseconds_of(self._clock.now())
            ticks = self.ticks_between(max(seen, now - LONGEST_CATCH_UP_MICROSECONDS), now)
            seen = now
            if ticks:
                yield ticks

    def quotes_at(self, instruments: Sequence[Instrument], moment: datetime) -> Mapping[str, Quote]:
        """Return the quotes of any moment, by instrument id; empty before the first session."""
        members: defaultdict[Venue, dict[int, Instrument]] = defaultdict(dict)
        for instrument in instruments:
            venue, member, _ = self._places[instrument.id]
            members[venue][member] = instrument
        at = microseconds_of(moment)
        return {
            wanted[member].id: _quote(wanted[member], standing)
            for venue, wanted in members.items()
            for member, standing in self._venues[venue].standings(list(wanted), at).items()
        }

    def bars_at(self, instrument: Instrument, moment: datetime, count: int) -> DailyBars:
        """Return the newest `count` bars that are finished at a moment."""
        venue, _, column = self._places[instrument.id]
        dates, rows = self._venues[venue].stretches.finished_sessions(microseconds_of(moment), count)
        daily = self._daily_until(int(rows[-1]) if len(rows) else 0)
        steps_per_unit = self._listing[column].steps_per_unit
        return DailyBars(
            instrument=instrument.id,
            sessions=dates.copy(),
            open=daily.open[rows, column] / steps_per_unit,
            high=daily.high[rows, column] / steps_per_unit,
            low=daily.low[rows, column] / steps_per_unit,
            close=daily.close[rows, column] / steps_per_unit,
            volume=daily.volume[rows, column] if instrument.kind in KINDS_WITH_VOLUME else None,
        )

    def ticks_between(self, after: int, until: int) -> Sequence[Tick]:
        """Return the ticks later than `after` and not later than `until`, in microseconds since 1970, oldest first."""
        ticks = [tick for prices in self._venues.values() for tick in prices.ticks_between(after, until)]
        ticks.sort(key=attrgetter("at_microseconds", "instrument"))
        return ticks

    def _rest_seconds(self) -> float:
        """Return how long until the next slice that can bring something."""
        now = microseconds_of(self._clock.now())
        begins = [prices.stretches.next_begin(now) for prices in self._venues.values()]
        if None in begins:
            return (SLICE_MICROSECONDS - now % SLICE_MICROSECONDS) / 1e6
        soonest = min(each for each in begins if each is not None)
        return min(LONGEST_REST_SECONDS, (soonest - now) / 1e6)

    def _daily_until(self, row: int) -> DailyPrices:
        if row > day_number(self._daily.last_day):
            self._daily = DailyPrices.make(self._listing, self._seed, FIRST_DAY + timedelta(days=row + DAYS_AHEAD))
        return self._daily

    def _open(self, venue: Venue, columns: Sequence[int], calendar: Calendar) -> VenuePrices:
        listing = [self._listing[column] for column in columns]
        keys = np.array([key_of(each.instrument.id) for each in listing])
        stretches = Stretches(
            simulated_sessions(calendar.sessions_of(venue), self._clock.now().date()),
            columns=np.array(columns),
            keys=keys,
            daily=self._daily_until,
            seed=self._seed,
            tick_interval=self._tick_interval,
            is_always_open=self._is_always_open,
        )
        return VenuePrices(listing, stretches, keys=keys, seed=self._seed, tick_interval=self._tick_interval)


def _quote(instrument: Instrument, standing: Standing) -> Quote:
    as_of = moment_of(standing.at)
    return Quote(
        instrument=instrument,
        last_price=standing.last_price,
        provenance=Provenance(NAME, as_of, Freshness.SIMULATED),
        previous_close=standing.previous_close,
        open=standing.open,
        high=standing.high,
        low=standing.low,
        volume=standing.volume,
    )
