"""Daily history as it was traded, before anything is adjusted: what later splits can't change, so that it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.splits import Split


@dataclass(frozen=True, slots=True, eq=False)
class RawHistory:
    """What was paid for one instrument, and what changed it, all by one source.

    Attributes:
        bars: finished sessions, oldest first; prices as they were paid, units as they were traded.
        splits: oldest first, one an ex-date.
        dividends: oldest first, one an ex-date; amounts a unit of that day.
    """

    bars: DailyBars
    splits: Sequence[Split] = field(default_factory=tuple)
    dividends: Sequence[Dividend] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a source was asked about one instrument: always everything from some day on, so that there is no hole.

    Attributes:
        first: the first day that was asked for.
        last: the day up to which every session is known, by its bar or by there being none.
        asked_at: when the newest part was asked for.
    """

    first: date
    last: date
    asked_at: datetime
