"""Reads fields of vendors' rows: wire-true where it can be, refused where it cannot, never guessed."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

# What portfolio keeps: 24 digits, half of them behind the point. A float's noise goes on behind that.
WHOLE_DIGITS = 12
DECIMALS = Decimal(1).scaleb(-12)
MAX_SYMBOL_LENGTH = 64
MAX_WORD_LENGTH = 32

_DAY_FORMS = ("%Y-%m-%d", "%d-%b-%Y", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S")


class AnswerUnreadable(Exception):
    """A vendor's answer is not what it documents; says where, and never what was there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where} {problem}")


class Fields:
    """The fields of one row.

    Args:
        row: what the vendor sent in place of a row.
        where: names the row in errors.

    Raises:
        AnswerUnreadable: it is no object.
    """

    def __init__(self, row: Any, *, where: str) -> None:
        if not isinstance(row, Mapping):
            raise AnswerUnreadable(where, "is no object")
        self._row = row
        self._where = where

    def word(self, name: str, *, max_length: int = MAX_WORD_LENGTH) -> str:
        """Read text that must be there.

        Raises:
            AnswerUnreadable: it is absent, empty, too long or not printable.
        """
        word = self.optional_word(name, max_length=max_length)
        if word is None:
            raise self.unreadable(name, "is missing")
        return word

    def optional_word(self, name: str, *, max_length: int = MAX_WORD_LENGTH) -> str | None:
        """Read text; absent, null and blank are None.

        Raises:
            AnswerUnreadable: it is no text, too long or not printable.
        """
        text = self._row.get(name)
        if text is None:
            return None
        if not isinstance(text, str) or len(text) > max_length or not text.isprintable():
            raise self.unreadable(name, "is no name")
        return text.strip() or None

    def amount(self, name: str) -> Decimal:
        """Read a number that must be there.

        Raises:
            AnswerUnreadable: it is absent or no finite number.
        """
        amount = self.optional_amount(name)
        if amount is None:
            raise self.unreadable(name, "is missing")
        return amount

    def optional_amount(self, name: str) -> Decimal | None:
        """Read a number, be it written as text; absent, null and blank are None.

        Raises:
            AnswerUnreadable: it is no finite number, or too large to be true.
        """
        value = self._row.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        amount = _decimal(value)
        if amount is None or not amount.is_finite() or amount.adjusted() >= WHOLE_DIGITS:
            raise self.unreadable(name, "is no number that can be true")
        exponent = amount.as_tuple().exponent
        return amount.quantize(DECIMALS) if isinstance(exponent, int) and exponent < -WHOLE_DIGITS else amount

    def units(self, name: str) -> Decimal:
        """Read a number of 0 or more that counts as 0 when it is not there.

        Raises:
            AnswerUnreadable: it is something else.
        """
        amount = self.optional_amount(name)
        if amount is None:
            return Decimal(0)
        return self._owned(name, amount)

    def optional_owned(self, name: str) -> Decimal | None:
        """Read a number of 0 or more; absent, null and blank are None.

        Raises:
            AnswerUnreadable: it is something else.
        """
        amount = self.optional_amount(name)
        return None if amount is None else self._owned(name, amount)

    def price(self, name: str) -> Decimal | None:
        """Read a price of a market; 0 is how vendors say that there is none.

        Raises:
            AnswerUnreadable: it is no number or below 0.
        """
        return self.optional_owned(name) or None

    def day(self, name: str) -> date | None:
        """Read a date in any of the forms that vendors use; absent, null and blank are None.

        Raises:
            AnswerUnreadable: it is something else.
        """
        text = self.optional_word(name)
        if text is None:
            return None
        for form in _DAY_FORMS:
            try:
                return datetime.strptime(text.title() if "%b" in form else text, form).date()  # noqa: DTZ007  # a day
            except ValueError:
                continue
        raise self.unreadable(name, "is no date")

    def is_set(self, name: str) -> bool:
        """Say whether a flag is true; anything else is not."""
        return self._row.get(name) is True

    def inner(self, name: str) -> "Fields | None":
        """Return an object within the row; absent and null are None.

        Raises:
            AnswerUnreadable: it is something else.
        """
        value = self._row.get(name)
        return None if value is None else Fields(value, where=f"{self._where}.{name}")

    def unreadable(self, name: str, problem: str) -> AnswerUnreadable:
        """Return the error that names a field of this row."""
        return AnswerUnreadable(f"{self._where}.{name}", problem)

    def _owned(self, name: str, amount: Decimal) -> Decimal:
        if amount < 0:
            raise self.unreadable(name, "is below 0")
        return amount


def listed(value: Any, *, where: str) -> list[Fields]:
    """Return the rows of a list.

    Raises:
        AnswerUnreadable: it is no list of objects.
    """
    if not isinstance(value, list):
        raise AnswerUnreadable(where, "is no list")
    return [Fields(row, where=f"{where}[{index}]") for index, row in enumerate(value)]


def _decimal(value: object) -> Decimal | None:
    """Return a number as it is written: a float by its shortest form; None when it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value.strip().replace(",", "") if isinstance(value, str) else repr(value)
    if "_" in text:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
