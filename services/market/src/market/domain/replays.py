"""What a replay of history holds."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a whole replay holds.

    Attributes:
        bars: how many bars.
        ticks: how many ticks they become.
        first_tick_at: when the first tick was made; None for an empty file.
        last_tick_at: when the last tick was made; None for an empty file.
    """

    bars: int
    ticks: int
    first_tick_at: datetime | None
    last_tick_at: datetime | None
