"""Why our profit and loss is not the broker's: parts that add up to the difference, and never more than is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from portfolio.domain.amounts import NO_MONEY, difference, product, total

# A broker may round a mean price to the paisa, which is up to half a paisa for each unit, and every figure that is
# compared here is rounded itself: six of them, half a paisa each.
TOLERANCE_A_UNIT = Decimal("0.005")
TOLERANCE = Decimal("0.03")


class Reason(StrEnum):
    """What a part of a difference comes from."""

    PRICE_TIME = "price_time"
    CORPORATE_ACTION = "corporate_action"
    T1_QUANTITY = "t1_quantity"
    ROUNDING = "rounding"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class DifferencePart:
    """A part of a difference, in money."""

    reason: Reason
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PnlAtSync:
    """What our P&L would have been at the broker's own prices, and what has moved it since, all in money.

    Attributes:
        pnl: with all units.
        settled_pnl: with the settled units alone; the same where that makes no difference.
        price_time: the units of the sync times the price now less the broker's.
        corporate_action: the units that splits and bonuses added, times the price now.
    """

    pnl: Decimal
    settled_pnl: Decimal
    price_time: Decimal
    corporate_action: Decimal


def explain(amount: Decimal, broker_pnl: Decimal, at_sync: PnlAtSync | None, *, units: Decimal) -> list[DifferencePart]:
    """Take a difference apart.

    Args:
        amount: our P&L less the broker's.
        broker_pnl: the broker's.
        at_sync: what can be said of the moment of the sync; None when the broker gave no price.
        units: how many units the broker rounded for.

    Returns:
        The parts that are not 0; they add up to `amount` exactly. What no reason accounts for is `rounding` while it
        is no more than rounding can make, and else `unexplained`.
    """
    if amount.is_zero():
        return []
    tolerance = total((TOLERANCE, product(TOLERANCE_A_UNIT, abs(units))))
    parts = [] if at_sync is None else _known_parts(at_sync, broker_pnl, tolerance)
    rest = difference(amount, total(part.amount for part in parts))
    reason = Reason.ROUNDING if abs(rest) <= tolerance else Reason.UNEXPLAINED
    return [part for part in (*parts, DifferencePart(reason, rest)) if not part.amount.is_zero()]


def _known_parts(at_sync: PnlAtSync, broker_pnl: Decimal, tolerance: Decimal) -> Sequence[DifferencePart]:
    return (
        DifferencePart(Reason.PRICE_TIME, at_sync.price_time),
        DifferencePart(Reason.CORPORATE_ACTION, at_sync.corporate_action),
        DifferencePart(Reason.T1_QUANTITY, _left_out(at_sync, broker_pnl, tolerance)),
    )


def _left_out(at_sync: PnlAtSync, broker_pnl: Decimal, tolerance: Decimal) -> Decimal:
    """Return the P&L of the units not settled, if the broker's figure is that of the settled ones alone."""
    counts_all = abs(difference(broker_pnl, at_sync.pnl)) <= tolerance
    counts_settled = abs(difference(broker_pnl, at_sync.settled_pnl)) <= tolerance
    return difference(at_sync.pnl, at_sync.settled_pnl) if counts_settled and not counts_all else NO_MONEY
