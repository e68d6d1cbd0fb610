"""The signals of the newest finished session, measured and found once a session."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import date

from chassis.clock import Clock
from chassis.errors import DatabaseUnavailable
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.pattern_statistics import PatternStatistics, measure
from market.domain.patterns import LONGEST_LOOKBACK, Panel, scan
from market.domain.ports import BarSource, PatternStatisticsRepository
from market.domain.signals import Signal, find_signals

log = logging.getLogger(__name__)

HISTORY_SESSIONS = 1_000
LOOK_AGAIN_SECONDS = 30.0
BARS_TIMEOUT_SECONDS = 30.0


class NoSignals:
    """What there is where no source has daily bars."""

    async def current(self) -> Sequence[Signal]:
        """Return none."""
        return ()


class SignalBook:
    """Holds the current signals on NSE's equities; patterns are measured on the equities of every exchange.

    Args:
        source: where daily bars come from.
        repository: keeps what was measured, so that a market that starts again need not measure anew.
        clock: measures how long ago it was looked for a new session.
    """

    def __init__(self, source: BarSource, repository: PatternStatisticsRepository, clock: Clock) -> None:
        self._source = source
        self._repository = repository
        self._clock = clock
        self._equities = [each for each in source.instruments() if each.kind is InstrumentKind.EQUITY]
        self._watched = [each for each in self._equities if each.exchange is Exchange.NSE]
        self._session: date | None = None
        self._signals: Sequence[Signal] = ()
        self._looked_at = float("-inf")

    async def current(self) -> Sequence[Signal]:
        """Return the signals of the newest finished session, in no order of worth.

        Looks for a new session every half minute; only then is anything measured, in a thread of its own.

        Raises:
            TimeoutError: the source took too long.
        """
        if self._clock.monotonic() - self._looked_at < LOOK_AGAIN_SECONDS:
            return self._signals
        self._looked_at = self._clock.monotonic()
        panel = await self._panel_of(self._watched, LONGEST_LOOKBACK + 1)
        session = panel.latest_session
        if session is not None and session != self._session:
            statistics = await self._kept_statistics(session) or await self._measured_statistics(session)
            self._signals = await asyncio.to_thread(find_signals, panel, statistics)
            self._session = session
            log.info("signals found", extra={"session": session.isoformat(), "signals": len(self._signals)})
        return self._signals

    async def _kept_statistics(self, session: date) -> PatternStatistics | None:
        try:
            return await self._repository.read(session)
        except DatabaseUnavailable:
            return None

    async def _measured_statistics(self, session: date) -> PatternStatistics:
        panel = await self._panel_of(self._equities, HISTORY_SESSIONS)
        statistics = await asyncio.to_thread(_measured, panel, session)
        try:
            await self._repository.replace(statistics)
        except DatabaseUnavailable:
            log.warning("pattern statistics not kept", extra={"session": session.isoformat()})
        return statistics

    async def _panel_of(self, instruments: Sequence[Instrument], count: int) -> Panel:
        async with asyncio.timeout(BARS_TIMEOUT_SECONDS):
            bars = await self._source.daily_bars(instruments, count=count)
        return await asyncio.to_thread(Panel.join, bars)


def _measured(panel: Panel, session: date) -> PatternStatistics:
    return measure(panel, scan(panel)).before(session)
