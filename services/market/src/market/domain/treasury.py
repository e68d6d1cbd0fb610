"""What the United States pay for their debt."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

MATURITIES = (
    "month1",
    "month2",
    "month3",
    "month6",
    "year1",
    "year2",
    "year3",
    "year5",
    "year7",
    "year10",
    "year20",
    "year30",
)


@dataclass(frozen=True, slots=True)
class TreasuryRates:
    """Yields of one day.

    Attributes:
        on: the day.
        yields: percent a year by maturity, one of MATURITIES; a maturity without a yield is left out.
    """

    on: date
    yields: Mapping[str, float]
