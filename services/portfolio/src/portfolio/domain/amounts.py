"""Exact arithmetic on decimals: nothing is lost before a figure is rounded, and money is rounded once, half even."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

# A row's amounts have at most 24 digits: three of them multiplied, scaled by splits and summed stay far below this.
_EXACT = Context(prec=150, rounding=ROUND_HALF_EVEN)
_PAISA = Decimal("0.01")
_HUNDRED = Decimal(100)
ZERO = Decimal(0)
NO_MONEY = Decimal("0.00")


def product(*factors: Decimal) -> Decimal:
    """Multiply exactly."""
    result = Decimal(1)
    for factor in factors:
        result = _EXACT.multiply(result, factor)
    return result


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Add exactly; 0.00 for none."""
    result = NO_MONEY
    for amount in amounts:
        result = _EXACT.add(result, amount)
    return result


def plus(amount: Decimal, added: Decimal) -> Decimal:
    """Add two exactly, with no more decimals than they have."""
    return _EXACT.add(amount, added)


def difference(amount: Decimal, subtracted: Decimal) -> Decimal:
    """Subtract exactly."""
    return _EXACT.subtract(amount, subtracted)


def money(amount: Decimal) -> Decimal:
    """Round to two decimals, half even; there is no negative zero."""
    return rounded(amount, _PAISA)


def rounded(amount: Decimal, step: Decimal) -> Decimal:
    """Round to the decimals of `step`, half even; there is no negative zero."""
    result = amount.quantize(step, context=_EXACT)
    return abs(result) if result.is_zero() else result


def scaled(amount: Decimal, factor: Fraction) -> Decimal:
    """Multiply by a fraction; exact where the result has an end, else to 150 digits."""
    if factor.numerator == factor.denominator:
        return amount
    return _EXACT.divide(_EXACT.multiply(amount, Decimal(factor.numerator)), Decimal(factor.denominator))


def percent_of(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return `part` in percent of `whole`, two decimals half even; None when `whole` is 0."""
    if whole.is_zero():
        return None
    return money(_EXACT.divide(_EXACT.multiply(part, _HUNDRED), whole))


def plain(amount: Decimal) -> str:
    """Write an amount with the digits it has and without an exponent."""
    return f"{amount:f}"


def trimmed(amount: Decimal) -> Decimal:
    """Return the amount without zeros after the point at its end."""
    short = amount.normalize(_EXACT)
    return rounded(short, Decimal(1)) if short == short.to_integral_value() else short


def in_decimals(factor: Fraction) -> Decimal:
    """Write a fraction as a decimal, to twelve decimals where it has no earlier end."""
    return trimmed(rounded(scaled(Decimal(1), factor), Decimal("1E-12")))
