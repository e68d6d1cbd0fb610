"""How people read figures and moments: grouped digits, signs, currencies, ages."""

from datetime import datetime
from decimal import Decimal

from portfolio.domain.amounts import money, plain, trimmed
from portfolio.domain.days import INDIA

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EM DASH}"
RUPEES = "INR"

_SIGNS = {"INR": "\N{INDIAN RUPEE SIGN}", "USD": "$", "EUR": "\N{EURO SIGN}", "GBP": "\N{POUND SIGN}"}
_INDIAN_UNITS = ((Decimal(10_000_000), " Cr"), (Decimal(100_000), " L"), (Decimal(1_000), "K"))
_UNITS = ((Decimal(1_000_000_000), "B"), (Decimal(1_000_000), "M"), (Decimal(1_000), "K"))
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_AGES = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"))


def amount_text(amount: Decimal | None, currency: str) -> str:
    """Write money with two decimals, grouped as its country does; a dash for what is unknown."""
    if amount is None:
        return NONE
    rounded = money(amount)
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{_prefix(currency)}{_grouped(plain(abs(rounded)), currency)}"


def price_text(price: Decimal | None, currency: str) -> str:
    """Write a price with at least two decimals and all it has; a dash for what is unknown."""
    if price is None:
        return NONE
    short = trimmed(price)
    exponent = short.as_tuple().exponent
    decimals = max(2, -exponent if isinstance(exponent, int) else 2)
    return f"{_prefix(currency)}{_grouped(f'{short:.{decimals}f}', currency)}"


def change_text(amount: Decimal | None, currency: str) -> str:
    """Write money gained or lost, with its sign."""
    return f"+{amount_text(amount, currency)}" if amount is not None and amount > 0 else amount_text(amount, currency)


def percent_text(percent: Decimal | None) -> str:
    """Write a change in percent, with its sign; a dash for what is unknown."""
    if percent is None:
        return NONE
    sign = "+" if percent > 0 else MINUS if percent < 0 else ""
    return f"{sign}{_grouped(plain(abs(percent)), '')}%"


def quantity_text(quantity: Decimal) -> str:
    """Write a number of units with the decimals it has."""
    sign = MINUS if quantity < 0 else ""
    return f"{sign}{_grouped(plain(trimmed(abs(quantity))), '')}"


def short_text(amount: Decimal, step: Decimal, currency: str) -> str:
    """Write an amount of an axis in thousands, lakhs and so on, with the decimals that its steps need."""
    units = _INDIAN_UNITS if currency == RUPEES else _UNITS
    divisor, unit = next(((size, name) for size, name in units if abs(amount) >= size), (Decimal(1), ""))
    exponent = (step / divisor).normalize().as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) / divisor:.{decimals}f}{unit}"


def moment_text(moment: datetime) -> str:
    """Write a moment as clocks in India show it."""
    local = moment.astimezone(INDIA)
    return f"{local.day} {local:%b %Y, %H:%M} IST"


def age_text(moment: datetime, at: datetime) -> str:
    """Write how long before another a moment was; less than a minute, or later, is now."""
    seconds = int((at - moment).total_seconds())
    size, unit = next(((size, unit) for size, unit in _AGES if seconds >= size), (0, ""))
    return f"{seconds // size} {unit} old" if size else "now"


def tone_of(amount: Decimal | None) -> str:
    """Say which way a figure goes: `up`, `down` or `flat`."""
    if amount is None or amount.is_zero():
        return "flat"
    return "up" if amount > 0 else "down"


def _prefix(currency: str) -> str:
    return _SIGNS.get(currency, f"{currency} " if currency else "")


def _grouped(digits: str, currency: str) -> str:
    whole, point, decimals = digits.partition(".")
    if currency == RUPEES:
        head, tail = whole[:-3], whole[-3:]
        pairs = []
        while head:
            head, pair = head[:-2], head[-2:]
            pairs.append(pair)
        return f"{','.join([*reversed(pairs), tail])}{point}{decimals}"
    return f"{int(whole):,}{point}{decimals}"
