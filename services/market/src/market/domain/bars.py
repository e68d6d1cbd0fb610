"""Daily bars as columns."""

from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import numpy.typing as npt


class BarsMalformed(ValueError):
    """The columns of a bar series do not fit together."""

    def __init__(self, instrument: str, problem: str) -> None:
        super().__init__(f"the bars of {instrument} are malformed: {problem}")


@dataclass(frozen=True, slots=True, eq=False)
class DailyBars:
    """The finished daily bars of one instrument, oldest first; the columns are of equal length and read-only.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        sessions: dates, `datetime64[D]`, strictly rising.
        open: first prices, float64, in the instrument's currency, as are high, low and close.
        high: highest prices.
        low: lowest prices.
        close: last prices.
        volume: units traded, int64; None where there is no volume.
    """

    instrument: str
    sessions: npt.NDArray[np.datetime64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        columns = [self.sessions, self.open, self.high, self.low, self.close]
        if self.volume is not None:
            columns.append(self.volume)
        if len({len(column) for column in columns}) != 1:
            raise BarsMalformed(self.instrument, "its columns differ in length")
        if not bool(np.all(self.sessions[1:] > self.sessions[:-1])):
            raise BarsMalformed(self.instrument, "its sessions do not rise")
        for column in columns:
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def last_session(self) -> date | None:
        """Return the date of the newest bar; None when there is none."""
        return self.sessions[-1].astype(date) if len(self) else None

    def until(self, session: date) -> Self:
        """Return the bars of sessions up to and with `session`."""
        return self._cut(slice(0, int(np.searchsorted(self.sessions, np.datetime64(session), side="right"))))

    def since(self, session: date) -> Self:
        """Return the bars of sessions from `session` on."""
        return self._cut(slice(int(np.searchsorted(self.sessions, np.datetime64(session), side="left")), None))

    def tail(self, count: int) -> Self:
        """Return the newest `count` bars, or all when there are fewer."""
        return self._cut(slice(max(0, len(self) - count), None))

    def _cut(self, part: slice) -> Self:
        return type(self)(
            instrument=self.instrument,
            sessions=self.sessions[part],
            open=self.open[part],
            high=self.high[part],
            low=self.low[part],
            close=self.close[part],
            volume=None if self.volume is None else self.volume[part],
        )
