"""A replay file as a source of instruments, quotes, daily bars and ticks, on a virtual clock."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain

import numpy as np

from chassis.clock import Clock
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability
from market.domain.instruments import Instrument
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.replays import ReplaySummary
from market.domain.ticks import Tick, moment_of, shard_of
from market.providers.replay.parse import Bar, instruments_of
from market.providers.replay.tape import Played, make_tape

NAME = "replay"
SLICE_SECONDS = 0.010


@dataclass(frozen=True, slots=True)
class _Standing:
    """What an instrument's current bar has shown so far."""

    tick: Tick
    open: float
    high: float
    low: float


class ReplaySource:
    """History played once from its beginning; the same file gives the same ticks in the same order.

    Args:
        bars: what is played, in the file's order.
        known: descriptions of instruments by id, for those that have one.
        clock: measures the real time that passes.
        speed: virtual seconds in a real second; None plays as fast as it is read.
        is_held: waits for `start` before the first tick.
    """

    name = NAME
    is_simulated = True
    capabilities = frozenset({Capability.QUOTES})
    answers_in_bulk = True
    is_paced = False
    freshness = Freshness.SIMULATED

    def __init__(
        self,
        bars: Sequence[Bar],
        known: Mapping[str, Instrument],
        clock: Clock,
        *,
        speed: float | None,
        is_held: bool,
    ) -> None:
        self._bars = bars
        self._instruments = instruments_of(bars, known)
        self._clock = clock
        self._speed = speed
        self._started = asyncio.Event()
        if not is_held:
            self._started.set()
        self._tape = make_tape(bars)
        # How many of its slices were sent from here, and how many the standings show.
        self._sent = 0
        self._shown = 0
        # Up to which moment another replica has sent each shard.
        self._heard: dict[int, int] = {}
        self._standings: dict[str, _Standing] = {}
        self._virtual_date: date | None = None
        self._is_over = False
        self._days: Mapping[str, DailyBars] | None = None

    @property
    def summary(self) -> ReplaySummary:
        """Return what the whole replay holds."""
        times = [each.tick.at_microseconds for part in (self._tape[:1], self._tape[-1:]) for each in chain(*part)]
        return ReplaySummary(
            bars=len(self._bars),
            ticks=sum(map(len, self._tape)),
            first_tick_at=moment_of(min(times)) if times else None,
            last_tick_at=moment_of(max(times)) if times else None,
        )

    @property
    def configuration(self) -> Mapping[str, str | int]:
        """Return a checksum of the bars."""
        return {"bars": hashlib.sha256(repr(self._bars).encode()).hexdigest()}

    def start(self) -> None:
        """Let a held replay begin; has no effect on one that has begun."""
        self._started.set()

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        """Say whether the file has an instrument, of which it answers prices alone."""
        return capability in self.capabilities and any(each.id == instrument.id for each in self.instruments())

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument of the file."""
        return self._instruments

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return what was played of each instrument so far; nothing before its first tick."""
        return {each.id: _quote(each, self._standings[each.id]) for each in instruments if each.id in self._standings}

    async def daily_bars(self, instruments: Sequence[Instrument], *, count: int) -> Sequence[DailyBars]:
        """Return daily bars of the days (UTC) that are over on the virtual clock."""
        if self._days is None:
            self._days = await asyncio.to_thread(_daily, self._bars)
        return [self._finished(self._days[each.id]).tail(count) for each in instruments]

    async def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Yield, after the start, all ticks that no replica has sent; ends after the last."""
        await self._started.wait()
        self._pass_over_heard()
        ends = self._all_at_once() if self._speed is None else self._by_the_clock(self._speed)
        async for end in ends:
            self._show(end)
            if ticks := self._unheard(self._tape[self._sent : end]):
                yield ticks
            self._sent = max(self._sent, end)
        self.end()

    def follow(self, shard: int, at_microseconds: int) -> None:
        """Take into account that another replica plays, and has sent a shard's ticks up to a moment."""
        self._started.set()
        self._heard[shard] = max(at_microseconds, self._heard.get(shard, at_microseconds))
        end = self._shown
        while end < len(self._tape) and _moment(self._tape[end]) <= at_microseconds:
            end += 1
        self._show(end)

    def end(self) -> None:
        """Take into account that everything was played, here or by another replica."""
        self._started.set()
        self._show(len(self._tape))
        self._sent = len(self._tape)
        self._is_over = True

    async def _all_at_once(self) -> AsyncIterator[int]:
        while self._sent < len(self._tape):
            yield self._sent + 1

    async def _by_the_clock(self, speed: float) -> AsyncIterator[int]:
        """Yield, again and again, up to where the tape should have been played by now."""
        if self._sent == len(self._tape):
            return
        begun, first = self._clock.monotonic(), _moment(self._tape[self._sent])
        while self._sent < len(self._tape):
            virtual = first + (self._clock.monotonic() - begun) * speed * 1e6
            end = self._sent
            while end < len(self._tape) and _moment(self._tape[end]) <= virtual:
                end += 1
            if end > self._sent:
                yield end
                continue
            until_next = (_moment(self._tape[self._sent]) - virtual) / 1e6 / speed
            await self._clock.sleep(max(until_next, SLICE_SECONDS))

    def _pass_over_heard(self) -> None:
        while self._sent < len(self._tape) and not self._unheard([self._tape[self._sent]]):
            self._sent += 1

    def _unheard(self, slices: Sequence[Sequence[Played]]) -> list[Tick]:
        """Return the ticks of some slices that no other replica has sent."""
        ticks = [each.tick for played in slices for each in played]
        if not self._heard:
            return ticks
        before_all = float("-inf")
        return [each for each in ticks if each.at_microseconds > self._heard.get(shard_of(each.instrument), before_all)]

    def _show(self, end: int) -> None:
        for played in self._tape[self._shown : end]:
            self._note(played)
        self._shown = max(self._shown, end)

    def _note(self, played: Sequence[Played]) -> None:
        for each in played:
            price = each.tick.last_price
            before = self._standings.get(each.tick.instrument)
            if before is None or each.place == 0:
                self._standings[each.tick.instrument] = _Standing(each.tick, price, price, price)
                continue
            self._standings[each.tick.instrument] = replace(
                before, tick=each.tick, high=max(before.high, price), low=min(before.low, price)
            )
        self._virtual_date = played[-1].tick.at.date()

    def _finished(self, bars: DailyBars) -> DailyBars:
        if self._is_over:
            return bars
        if self._virtual_date is None:
            return bars.tail(0)
        return bars.until(self._virtual_date - timedelta(days=1))


def _moment(played: Sequence[Played]) -> int:
    """Return when the ticks of a slice were made, all at one moment."""
    return played[0].tick.at_microseconds


def _daily(bars: Sequence[Bar]) -> Mapping[str, DailyBars]:
    """Gather the bars of each instrument and day (UTC) into one."""
    days: defaultdict[str, dict[date, list[Bar]]] = defaultdict(dict)
    for bar in sorted(bars, key=lambda each: each.at):
        days[bar.instrument].setdefault(bar.at.date(), []).append(bar)
    return {instrument: _daily_bars(instrument, list(by_day.values())) for instrument, by_day in days.items()}


def _daily_bars(instrument: str, days: Sequence[Sequence[Bar]]) -> DailyBars:
    return DailyBars(
        instrument=instrument,
        sessions=np.array([day[0].at.date() for day in days], dtype="datetime64[D]"),
        open=np.array([float(day[0].open) for day in days]),
        high=np.array([float(max(bar.high for bar in day)) for day in days]),
        low=np.array([float(min(bar.low for bar in day)) for day in days]),
        close=np.array([float(day[-1].close) for day in days]),
        volume=np.array([sum(bar.volume for bar in day) for day in days], dtype=np.int64),
    )


def _quote(instrument: Instrument, standing: _Standing) -> Quote:
    tick = standing.tick
    return Quote(
        instrument=instrument,
        last_price=tick.last_price,
        provenance=Provenance(NAME, tick.at, Freshness.SIMULATED),
        previous_close=tick.previous_close,
        open=standing.open,
        high=standing.high,
        low=standing.low,
        volume=tick.volume,
    )
