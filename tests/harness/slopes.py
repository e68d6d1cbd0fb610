"""Whether something that was looked at over and over grows: a straight line through it, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCKS = 20
# Student's t, two-sided 95 %, for a line through 20 points: 18 degrees of freedom.
T_95 = 2.101


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per hour, with its 95 % interval."""

    per_hour: float
    half_width: float

    def is_growth(self, *, beyond: float) -> bool:
        """Say whether it is sure that this grows, and by `beyond` or more an hour."""
        return self.per_hour - self.half_width > 0 and self.per_hour >= beyond

    def __str__(self) -> str:
        return f"{self.per_hour:+.2f} ± {self.half_width:.2f}"


def slope_of(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Fit a line through the means of 20 blocks; neighbouring looks are alike, the means of a minute are less so.

    Args:
        times: when it was looked at, in seconds, in order; at least 20.
        values: what was seen.
    """
    at = np.array([block.mean() for block in np.array_split(np.asarray(times, dtype=float), BLOCKS)]) / 3_600
    seen = np.array([block.mean() for block in np.array_split(np.asarray(values, dtype=float), BLOCKS)])
    centred = at - at.mean()
    spread = float((centred**2).sum())
    rise = float((centred * (seen - seen.mean())).sum()) / spread
    residuals = seen - seen.mean() - rise * centred
    error = math.sqrt(float((residuals**2).sum()) / (BLOCKS - 2) / spread)
    return Slope(rise, T_95 * error)
