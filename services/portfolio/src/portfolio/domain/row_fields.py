"""What a row may say: reads a row's fields and names the one that is wrong."""

from collections.abc import Sized
from datetime import date
from decimal import Decimal, InvalidOperation

from chassis.errors import Code, ServiceError
from portfolio.domain.amounts import ZERO

MAX_ROWS = 5_000
MAX_DIGITS = 24
MAX_SYMBOL_LENGTH = 64
MAX_WORD_LENGTH = 32
_MAX_AMOUNT_LENGTH = 64
_CHARACTERS = frozenset("0123456789.eE+-")


class RowsInvalid(ServiceError):
    """A sync's rows are not what a broker can have said."""

    code = Code.INVALID_ARGUMENT
    reason = "ROWS_INVALID"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


class RowFields:
    """Reads the fields of one row.

    Args:
        row: what errors call the row, such as `holdings[3]`.
    """

    def __init__(self, row: str) -> None:
        self._row = row

    def amount(self, field: str, text: str) -> Decimal:
        """Read a finite decimal of at most 24 digits, leading and trailing zeros included.

        Raises:
            RowsInvalid: it is something else.
        """
        amount = finite_decimal(text)
        if amount is None:
            raise self.invalid(field, f"a finite decimal of at most {MAX_DIGITS} digits is needed")
        return amount

    def optional_amount(self, field: str, text: str | None) -> Decimal | None:
        """Read a decimal that may be absent.

        Raises:
            RowsInvalid: it is there and no decimal.
        """
        return None if text is None else self.amount(field, text)

    def owned_amount(self, field: str, text: str) -> Decimal:
        """Read a decimal that is 0 or more.

        Raises:
            RowsInvalid: it is something else.
        """
        amount = self.amount(field, text)
        if amount < ZERO:
            raise self.invalid(field, "it is below 0")
        return amount

    def optional_owned_amount(self, field: str, text: str | None) -> Decimal | None:
        """Read a decimal of 0 or more that may be absent.

        Raises:
            RowsInvalid: it is there and something else.
        """
        return None if text is None else self.owned_amount(field, text)

    def positive_amount(self, field: str, text: str) -> Decimal:
        """Read a decimal above 0.

        Raises:
            RowsInvalid: it is something else.
        """
        amount = self.amount(field, text)
        if amount <= ZERO:
            raise self.invalid(field, "it is not above 0")
        return amount

    def word(self, field: str, text: str, *, max_length: int = MAX_WORD_LENGTH) -> str:
        """Read what must be there and be printable.

        Raises:
            RowsInvalid: it is empty, too long, or not printable.
        """
        if not 0 < len(text) <= max_length or not text.isprintable():
            raise self.invalid(field, f"1 to {max_length} printable characters are needed")
        return text

    def optional_word(self, field: str, text: str | None, *, max_length: int = MAX_WORD_LENGTH) -> str | None:
        """Read printable text that may be absent.

        Raises:
            RowsInvalid: it is there and empty, too long, or not printable.
        """
        return None if text is None else self.word(field, text, max_length=max_length)

    def optional_date(self, field: str, text: str | None) -> date | None:
        """Read a date, `YYYY-MM-DD`, that may be absent.

        Raises:
            RowsInvalid: it is there and no date.
        """
        if text is None:
            return None
        try:
            day = date.fromisoformat(text)
        except ValueError:
            day = None
        if day is None or day.isoformat() != text:
            raise self.invalid(field, "a date, YYYY-MM-DD, is needed")
        return day

    def invalid(self, field: str, problem: str) -> RowsInvalid:
        """Return the error that names this row and a field of it."""
        return RowsInvalid(f"{self._row}.{field}", problem)


def require_countable(name: str, rows: Sized) -> None:
    """Refuse more rows than a broker's list can hold.

    Raises:
        RowsInvalid: there are more than 5,000.
    """
    if len(rows) > MAX_ROWS:
        raise RowsInvalid(name, f"there are {len(rows)} rows, more than {MAX_ROWS}")


def finite_decimal(text: str) -> Decimal | None:
    """Read a finite decimal of at most 24 digits, leading and trailing zeros included; None for anything else."""
    if len(text) > _MAX_AMOUNT_LENGTH or not _CHARACTERS.issuperset(text):
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    _, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > MAX_DIGITS:
        return None
    # What it would be written with, without an exponent: zeros that an exponent stands for count.
    before = max(len(digits) + exponent, 1)
    after = max(-exponent, 0)
    return amount if before + after <= MAX_DIGITS else None
