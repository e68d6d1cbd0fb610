"""What candlestick patterns were worth: how often the close five sessions later lay on their side.

Walk-forward and pooled: for a session t, every case counts, on any instrument, whose outcome was known before t began,
that is whose fifth session after the pattern has a date before t. The date is what is compared, since instruments
trade on different calendars, and it has to be an earlier one, since a market further west still trades on t when one
further east has closed. Nothing is fitted, so all of these cases lie outside any sample.

A close that is exactly where it was is a hit of neither direction. A pattern that TA-Lib marks +100 without meaning a
direction, such as `doji`, is counted as bullish: its record shows how little that says. The Wilson interval takes cases
as independent; overlapping windows and markets that move together make the true one wider.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.domain.patterns import PATTERNS, Days, Direction, Findings, Panel

HORIZON_SESSIONS = 5
MINIMUM_CASES = 30
METHOD = "1"
"""Changes whenever these figures would come out differently from the same bars, so that stored ones are not mixed."""

WILSON_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for a 95 % interval."""

Counts = NDArray[np.int64]

# What a close can have done after five sessions, as positions in an axis.
_FELL, _STAYED, _ROSE = range(3)
_MOVES = 3


class Interval(NamedTuple):
    """A range of a share, each end 0 to 1."""

    low: float
    high: float


class PatternKey(NamedTuple):
    """What outcomes are counted by."""

    pattern: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How a pattern in one direction did before some session.

    Attributes:
        cases: how often it was found with its outcome known.
        hits: in how many of these the close five sessions later lay on its side.
        base_cases: how many bars there were at all, with or without a pattern, with their outcome known.
        base_hits: in how many of these the close lay on the same side.
    """

    cases: int
    hits: int
    base_cases: int
    base_hits: int

    @property
    def hit_rate(self) -> float | None:
        """Return the share of hits, 0 to 1; None under `MINIMUM_CASES`."""
        return self.hits / self.cases if self.cases >= MINIMUM_CASES else None

    @property
    def interval(self) -> Interval | None:
        """Return the 95 % Wilson interval of the hit rate; None under `MINIMUM_CASES`."""
        return wilson_interval(self.hits, self.cases) if self.cases >= MINIMUM_CASES else None

    @property
    def base_rate(self) -> float | None:
        """Return the share of all bars that the direction came true for, 0 to 1; None without any."""
        return self.base_hits / self.base_cases if self.base_cases else None


@dataclass(frozen=True, slots=True)
class PatternStatistics:
    """The records of all patterns as they stood before a session.

    Attributes:
        session: the session that they may be used on.
        records: one record for each pattern in each direction.
    """

    session: date
    records: Mapping[PatternKey, TrackRecord]


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeHistory:
    """Counts of outcomes up to each date on which one became known; made by `measure`.

    Attributes:
        known_on: shape (dates,), rising: the dates.
        cases: shape (patterns, 2, dates + 1): how many cases were known before the date, bullish first; the last column
            holds all.
        hits: the same for hits.
        base_cases: shape (dates + 1,): the same for bars.
        base_hits: shape (2, dates + 1): the same for bars after which the close rose, and fell.
    """

    known_on: Days
    cases: Counts
    hits: Counts
    base_cases: Counts
    base_hits: Counts

    def before(self, session: date) -> PatternStatistics:
        """Return what was known before a session began."""
        known = int(np.searchsorted(self.known_on, np.datetime64(session), side="left"))
        base_cases = int(self.base_cases[known])
        records = {
            PatternKey(pattern.name, direction): TrackRecord(
                cases=int(self.cases[position, side, known]),
                hits=int(self.hits[position, side, known]),
                base_cases=base_cases,
                base_hits=int(self.base_hits[side, known]),
            )
            for position, pattern in enumerate(PATTERNS)
            for side, direction in enumerate(Direction)
        }
        return PatternStatistics(session, records)


def measure(panel: Panel, findings: Findings) -> OutcomeHistory:
    """Count how the findings on a panel came out, and how all its bars did.

    Args:
        panel: the bars of all instruments to pool.
        findings: what `scan` found on this panel.
    """
    known_on, outcomes = _outcomes(panel)
    groups = findings.patterns * len(Direction) + (findings.directions == Direction.BEARISH)
    cases = _count(groups, outcomes[findings.bars], (len(PATTERNS), len(Direction), len(known_on) + 1, _MOVES))
    bars = _count(np.zeros_like(outcomes), outcomes, (len(known_on) + 1, _MOVES))
    return OutcomeHistory(
        known_on=known_on,
        cases=_cumulated(cases.sum(axis=-1)),
        hits=_cumulated(np.stack([cases[:, 0, :, _ROSE], cases[:, 1, :, _FELL]], axis=1)),
        base_cases=_cumulated(bars.sum(axis=-1)),
        base_hits=_cumulated(np.stack([bars[:, _ROSE], bars[:, _FELL]])),
    )


def wilson_interval(hits: int, cases: int) -> Interval:
    """Return the 95 % score interval of a share of at least one case (Wilson, JASA 22, 1927, pages 209 to 212)."""
    share = hits / cases
    z_squared = WILSON_Z * WILSON_Z
    centre = share + z_squared / (2 * cases)
    half_width = WILSON_Z * sqrt(share * (1 - share) / cases + z_squared / (4 * cases * cases))
    scale = 1 + z_squared / cases
    return Interval(low=max(0.0, (centre - half_width) / scale), high=min(1.0, (centre + half_width) / scale))


def configuration_key(settings: Mapping[str, str | int]) -> str:
    """Name what statistics were measured on, so that figures of one configuration never stand in for another's.

    Args:
        settings: whatever decides which bars a source gives, such as the seed of made-up prices; no secrets.

    Returns:
        16 hexadecimal digits, which also change with the method of measuring.
    """
    canonical = json.dumps({"method": METHOD, "settings": dict(settings)}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _outcomes(panel: Panel) -> tuple[Days, Counts]:
    """Return the dates outcomes became known on, and for each bar one number for the date's position and the move.

    A bar without an outcome has the position after the last date.
    """
    owners = panel.owners
    before, after = slice(None, -HORIZON_SESSIONS), slice(HORIZON_SESSIONS, None)
    has_outcome = owners[before] == owners[after]
    known_on, positions = _ranked(panel.sessions[after][has_outcome])
    outcomes = np.full(len(owners), len(known_on) * _MOVES)
    move = np.sign(panel.close[after] - panel.close[before]).astype(np.int64) + 1
    outcomes[before][has_outcome] = positions * _MOVES + move[has_outcome]
    return known_on, outcomes


def _ranked(days: Days) -> tuple[Days, Counts]:
    """Return the distinct days, rising, and the position of each day among them; `np.unique` without its sort."""
    if not len(days):
        return days, np.empty(0, dtype=np.int64)
    first = days.min()
    offsets = (days - first).astype(np.int64)
    is_present = np.zeros(int(offsets.max()) + 1, dtype=np.bool_)
    is_present[offsets] = True
    return first + np.flatnonzero(is_present), (np.cumsum(is_present) - 1)[offsets]


def _count(groups: Counts, outcomes: Counts, shape: tuple[int, ...]) -> Counts:
    """Count outcomes by group; the last two axes of the shape are those of an outcome."""
    dates, moves = shape[-2:]
    return np.bincount(groups * (dates * moves) + outcomes, minlength=int(np.prod(shape))).reshape(shape)


def _cumulated(counts: Counts) -> Counts:
    """Add up, along the last axis, what stands before each place; bars without an outcome, counted last, drop out."""
    totals = np.zeros_like(counts)
    np.cumsum(counts[..., :-1], axis=-1, out=totals[..., 1:])
    return totals
