"""Made-up ticks at an even pace, the same in every process, and a source that brings them to market's feed in slices.

A tick is known again by its number, which is its volume and tells when it was due.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import numpy as np

from market.domain.instruments import Instrument
from market.domain.quotes import Freshness
from market.domain.ticks import Tick

SLICE_SECONDS = 0.01
SEED = 20_260_105
# Prices stay this close to where they began, so that alerts further away are evaluated and never fire.
LARGEST_MOVE = 0.0005


class Tape:
    """So many ticks of so many instruments; each instrument ticks once, then they tick at random.

    Attributes:
        instruments: their ids.
        openings: the price each begins with.
        places: the index of each tick's instrument.
    """

    def __init__(self, *, instruments: int, ticks_per_second: int, ticks: int) -> None:
        random = np.random.default_rng(SEED)
        self.instruments = [f"NSE:SYMBOL{number}" for number in range(instruments)]
        self.openings = random.uniform(20, 3_000, instruments).round(2).tolist()
        self.places = random.integers(0, instruments, ticks)
        self.places[:instruments] = random.permutation(instruments)
        self.ticks_per_second = ticks_per_second
        self._slice = round(ticks_per_second * SLICE_SECONDS)
        moves = random.uniform(1 - LARGEST_MOVE, 1 + LARGEST_MOVE, ticks)
        self._prices = (np.asarray(self.openings)[self.places] * moves).round(2).tolist()
        self._order = self.places.tolist()

    @property
    def slices(self) -> int:
        return len(self._order) // self._slice

    def slice(self, number: int, origin_microseconds: int) -> list[Tick]:
        """Return the ticks of one slice of time, when the first tick of all is made at `origin_microseconds`."""
        first = number * self._slice
        step = 1_000_000 // self.ticks_per_second
        openings, instruments = self.openings, self.instruments
        return [
            Tick(instruments[place], price, origin_microseconds + tick * step, openings[place], tick)
            for tick, (place, price) in enumerate(
                zip(self._order[first : first + self._slice], self._prices[first : first + self._slice], strict=True),
                first,
            )
        ]


async def paced(slices: int, start: float) -> AsyncIterator[int]:
    """Yield the number of each slice when its time is over, `start` being the first one's beginning since 1970."""
    for number in range(slices):
        await asyncio.sleep(max(0.0, start + (number + 1) * SLICE_SECONDS - time.time()))
        yield number


class TapeSource:
    """Plays a tape as market's `TickSource`.

    Attributes:
        handed_over: when each slice was handed to the feed, in seconds since 1970.
    """

    name = "bench"
    is_simulated = True
    is_paced = True
    freshness = Freshness.SIMULATED

    def __init__(self, tape: Tape, start: float, *, is_over: Callable[[], bool] = lambda: False) -> None:
        self._tape = tape
        self._start = start
        self._is_over = is_over
        self.handed_over: list[float] = []

    def instruments(self) -> Sequence[Instrument]:
        return []

    async def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        origin = round(self._start * 1e6)
        async for number in paced(self._tape.slices, self._start):
            if self._is_over():
                return
            self.handed_over.append(time.time())
            yield self._tape.slice(number, origin)
