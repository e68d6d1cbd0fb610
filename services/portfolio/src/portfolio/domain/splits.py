"""Splits, consolidations and bonus issues: by what they multiply units, and from which day on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

UNCHANGED = Fraction(1)


@dataclass(frozen=True, slots=True)
class Split:
    """One event.

    Attributes:
        ex_date: the first day that trades in the new units.
        factor: new units for an old one, above 0.
    """

    ex_date: date
    factor: Fraction


def quotient(factor: Fraction, divisor: Fraction) -> Fraction:
    """Divide factors; most are the one that changes nothing, which costs nothing here."""
    return UNCHANGED if factor is divisor else factor / divisor


@dataclass(frozen=True, slots=True)
class KnownSplits:
    """What market said of instruments' splits.

    Attributes:
        by_instrument: the splits of each; an instrument that market was not heard of is not in it.
        known_after: those with a later ex-date are all known; None when nothing is.
    """

    by_instrument: Mapping[str, Sequence[Split]] = field(default_factory=dict)
    known_after: date | None = None

    def factor(self, instrument: str, *, after: date, through: date) -> Fraction | None:
        """Return by what units of one day are multiplied to be those of another; None when nobody knows.

        Args:
            instrument: `EXCHANGE:SYMBOL`.
            after: the day of the units; a split with this ex-date is in them.
            through: the day to bring them to; a split with this ex-date counts.
        """
        if after >= through:
            return UNCHANGED
        splits = self.by_instrument.get(instrument)
        if splits is None or self.known_after is None or after < self.known_after:
            return None
        factor = UNCHANGED
        for split in splits:
            if after < split.ex_date <= through:
                factor *= split.factor
        return factor
