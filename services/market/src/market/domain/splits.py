"""A split, a consolidation or a bonus issue: what changes how many units a holder has."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Split:
    """`old_units` became `new_units`.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        ex_date: the first day that trades without the old units.
        new_units: the units after it, above 0: 2 for a bonus of one for one.
        old_units: the units before it, above 0.
        source: where it is known from.
    """

    instrument: str
    ex_date: date
    new_units: int
    old_units: int
    source: str
