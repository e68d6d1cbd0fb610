"""Splits from an operator's file: CSV with the columns `instrument,ex_date,new_units,old_units`, every row checked."""

import csv
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from pathlib import Path

from market.domain.dates import as_date
from market.domain.instruments import SymbolInvalid, read_instrument_id, shown
from market.domain.splits import Split

NAME = "file"
COLUMNS = ("instrument", "ex_date", "new_units", "old_units")
UNITS_LIMIT = 1_000_000

_UNITS = re.compile(r"[0-9]{1,7}")


class SplitsFileInvalid(ValueError):
    """A file of splits cannot be used; says in which line and why."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        super().__init__(f"the splits file's line {line} is not usable: {problem}")


class SplitsFileUnreadable(ValueError):
    """A file of splits cannot be read at all."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"the splits file {path} cannot be read: {problem}")


class KnownSplits:
    """Splits that were read once.

    Args:
        splits: in any order; none where the operator keeps no file.
    """

    def __init__(self, splits: Iterable[Split] = ()) -> None:
        self._splits = tuple(splits)

    async def splits(self, instruments: Collection[str], *, from_date: date) -> Sequence[Split]:
        """Return what went ex on or after a date, in the order given."""
        return [each for each in self._splits if each.instrument in instruments and each.ex_date >= from_date]


def read_splits(path: Path) -> Sequence[Split]:
    """Read a file of splits, in the file's order; blocks.

    Raises:
        SplitsFileUnreadable: there is no such file, or it is not UTF-8 text.
        SplitsFileInvalid: a row is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return parse_splits(file)
    except OSError as error:
        raise SplitsFileUnreadable(path, error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise SplitsFileUnreadable(path, "it is not UTF-8 text") from error


def parse_splits(lines: Iterable[str]) -> Sequence[Split]:
    """Read rows, the header first, in their order.

    Raises:
        SplitsFileInvalid: the header or a row is wrong, or an instrument has two rows of one day.
    """
    reader = csv.reader(lines, strict=True)
    line_of_split: dict[tuple[str, date], int] = {}
    try:
        _require_header(next(reader, []))
        return [_new_split(row, reader.line_num, line_of_split) for row in reader if row]
    except csv.Error as error:
        raise SplitsFileInvalid(reader.line_num, f"it is not CSV ({error})") from error


def _require_header(row: Sequence[str]) -> None:
    if tuple(name.strip().lower() for name in row) != COLUMNS:
        found = ",".join(shown(name) for name in row) or "nothing"
        raise SplitsFileInvalid(1, f"the columns are {found}; they should be {','.join(COLUMNS)}")


def _new_split(row: Sequence[str], line: int, line_of_split: dict[tuple[str, date], int]) -> Split:
    split = _split(row, line)
    earlier = line_of_split.setdefault((split.instrument, split.ex_date), line)
    if earlier != line:
        raise SplitsFileInvalid(line, f"{split.instrument} already has a row of {split.ex_date}, line {earlier}")
    return split


def _split(row: Sequence[str], line: int) -> Split:
    if len(row) != len(COLUMNS):
        raise SplitsFileInvalid(line, f"it has {len(row)} cells; it should have {len(COLUMNS)}")
    instrument, ex_date, new_units, old_units = (cell.strip() for cell in row)
    split = Split(
        instrument=_instrument(instrument, line),
        ex_date=_ex_date(ex_date, line),
        new_units=_units("new_units", new_units, line),
        old_units=_units("old_units", old_units, line),
        source=NAME,
    )
    if split.new_units == split.old_units:
        raise SplitsFileInvalid(line, f"new_units and old_units are both {new_units}, which changes nothing")
    return split


def _instrument(cell: str, line: int) -> str:
    try:
        return read_instrument_id(cell)
    except SymbolInvalid as error:
        raise SplitsFileInvalid(line, error.message) from error


def _ex_date(cell: str, line: int) -> date:
    try:
        return as_date(cell)
    except ValueError as error:
        raise SplitsFileInvalid(line, f"ex_date {shown(cell)} is not a day, YYYY-MM-DD") from error


def _units(name: str, cell: str, line: int) -> int:
    units = int(cell) if _UNITS.fullmatch(cell) else 0
    if not 0 < units <= UNITS_LIMIT:
        raise SplitsFileInvalid(line, f"{name} {shown(cell)} is not a whole number from 1 to {UNITS_LIMIT}")
    return units
