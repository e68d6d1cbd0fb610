"""What the tradingsymbol of a derivative says: Kite's positions have no other field for it."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

DERIVATIVES = frozenset({"NFO", "BFO", "CDS", "BCD", "MCX", "NCO"})

_CENTURY = 2000
_WEEKLY_MONTHS = {**{str(month): month for month in range(1, 10)}, "O": 10, "N": 11, "D": 12}
# NIFTY26N2424500PE: the name, the year, one character for the month, the day, the strike.
_WEEKLY = re.compile(r"[A-Z&-]+(\d\d)([1-9OND])(\d\d)(\d+(?:\.\d+)?)(CE|PE)")
# NIFTY26NOV24500PE: the last expiry of the month, whose day the symbol does not say.
_MONTHLY = re.compile(r".+?\d\d(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(\d+(?:\.\d+)?)(CE|PE)")


@dataclass(frozen=True, slots=True)
class Contract:
    """What is known of a derivative; each None where the symbol does not say."""

    expiry: date | None = None
    strike: Decimal | None = None
    option_type: str | None = None


NO_CONTRACT = Contract()


def contract_of(exchange: str, tradingsymbol: str) -> Contract:
    """Return what a symbol says.

    A monthly symbol names its month and not its day, which depends on the year's rules and holidays: its expiry stays
    unknown.
    """
    if exchange not in DERIVATIVES:
        return NO_CONTRACT
    monthly = _MONTHLY.fullmatch(tradingsymbol)
    if monthly is not None:
        return Contract(None, Decimal(monthly[1]), monthly[2])
    weekly = _WEEKLY.fullmatch(tradingsymbol)
    if weekly is None:
        return NO_CONTRACT
    try:
        expiry = date(_CENTURY + int(weekly[1]), _WEEKLY_MONTHS[weekly[2]], int(weekly[3]))
    except ValueError:
        return NO_CONTRACT
    return Contract(expiry, Decimal(weekly[4]), weekly[5])
