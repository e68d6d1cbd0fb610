"""Prices of the past as sources give them: daily bars with the events that change them, and bars of five minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.splits import Split


@dataclass(frozen=True, slots=True, eq=False)
class DailyHistory:
    """What a source knows of one instrument between two dates.

    Attributes:
        bars: finished sessions, oldest first, adjusted for every split in `splits` and for nothing else.
        splits: all that went ex from the first date asked for to this day, also beyond the last bar.
        dividends: those that went ex between the two dates; amounts adjusted as prices are.
    """

    bars: DailyBars
    splits: Sequence[Split] = field(default_factory=tuple)
    dividends: Sequence[Dividend] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class IntradayBar:
    """Five minutes of one instrument.

    Attributes:
        begins_at: their first moment.
        open: the first price, in the instrument's currency; high, low and close likewise.
        volume: units traded; None where there is no volume.
    """

    begins_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int | None = None
