"""Keeps daily bars for good, as they were traded: rows are added and never changed."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, Table, and_, case, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from chassis.database import Database
from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.raw_history import Coverage, RawHistory
from market.domain.splits import Split
from market.storage.tables import DAILY_BAR_COVERAGES, DAILY_BAR_DIVIDENDS, DAILY_BAR_SPLITS, DAILY_BARS

log = logging.getLogger(__name__)

# Sources round, and some keep prices in single precision.
SAME_WITHIN = 1e-6

# Fifty years of rows at once would keep everybody else waiting for a tenth of a second.
ROWS_AT_ONCE = 1_000

_Rows = Sequence[Mapping[str, Any]]


class DailyBarStore:
    """The bars, splits, dividends and coverages of every instrument, each source's for itself.

    Args:
        database: where they are kept.

    Attributes:
        differing_rows: how many rows sources have since told differently; what is kept was not changed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.differing_rows = 0

    async def coverages(self, instrument: str) -> Mapping[str, Coverage]:
        """Return by source what is known of an instrument, `EXCHANGE:SYMBOL`.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        table = DAILY_BAR_COVERAGES.columns
        query = select(table.source, table.first, table.last, table.asked_at).where(table.instrument == instrument)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.source: Coverage(row.first, row.last, row.asked_at) for row in rows}

    async def read(self, instrument: str, source: str, *, first: date, last: date | None = None) -> RawHistory:
        """Return what one source said of an instrument.

        Args:
            instrument: its id.
            source: the source's name.
            first: the first session wanted; events from that day on come with it.
            last: the last session wanted; None for the newest. Events after it come all the same.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        async with self._database.reading() as connection:
            # Bars first: an event that another writer adds in between is then one too many, which changes nothing.
            bars = await _rows_of(connection, DAILY_BARS, instrument, source, first=first, last=last)
            splits = await _rows_of(connection, DAILY_BAR_SPLITS, instrument, source, first=first)
            dividends = await _rows_of(connection, DAILY_BAR_DIVIDENDS, instrument, source, first=first)
        return RawHistory(
            bars=_bars(instrument, bars),
            splits=tuple(Split(instrument, row.ex_date, row.new_units, row.old_units, source) for row in splits),
            dividends=tuple(Dividend(row.ex_date, row.amount) for row in dividends),
        )

    async def append(self, source: str, raw: RawHistory, coverage: Coverage) -> None:
        """Add what is not yet there, all or none, and widen what is covered.

        What is there stays as it is; rows that now read differently are counted and logged. Writers of the same rows do
        not disturb each other.

        Args:
            source: the name of the source that said so.
            raw: of one instrument.
            coverage: what the source was asked, as far as it joins what is covered already.

        Raises:
            DatabaseUnavailable: nothing was changed, or the change was not acknowledged.
        """
        key = {"instrument": raw.bars.instrument, "source": source}
        differing = 0
        async with self._database.transaction() as connection:
            for table, rows in _rows_by_table(raw):
                for begin in range(0, len(rows), ROWS_AT_ONCE):
                    differing += await _add(connection, table, key, rows[begin : begin + ROWS_AT_ONCE])
            await connection.execute(_widening(connection), [{**key, **_coverage_row(coverage)}])
        if differing:
            self.differing_rows += differing
            log.info("daily bars told differently", extra={**key, "rows": differing, "kept": "the first"})


async def _rows_of(
    connection: AsyncConnection, table: Table, instrument: str, source: str, *, first: date, last: date | None = None
) -> Sequence[Row[Any]]:
    """Return the rows of one series from `first` to `last`, oldest first, without the series' own columns."""
    day, *values = _own_columns(table)
    conditions = [table.columns.instrument == instrument, table.columns.source == source, day >= first]
    if last is not None:
        conditions.append(day <= last)
    query: Select[Any] = select(day, *values).where(and_(*conditions)).order_by(day)
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


def _bars(instrument: str, rows: Sequence[Row[Any]]) -> DailyBars:
    sessions, opens, highs, lows, closes, volumes = zip(*rows, strict=True) if rows else ((),) * 6
    has_volume = bool(volumes) and None not in volumes
    return DailyBars(
        instrument=instrument,
        sessions=np.array(sessions, dtype="datetime64[D]"),
        open=np.array(opens, dtype=np.float64),
        high=np.array(highs, dtype=np.float64),
        low=np.array(lows, dtype=np.float64),
        close=np.array(closes, dtype=np.float64),
        volume=np.array(volumes, dtype=np.int64) if has_volume else None,
    )


def _rows_by_table(raw: RawHistory) -> Iterable[tuple[Table, _Rows]]:
    yield DAILY_BARS, _bar_rows(raw.bars)
    yield (
        DAILY_BAR_SPLITS,
        [{"ex_date": each.ex_date, "new_units": each.new_units, "old_units": each.old_units} for each in raw.splits],
    )
    yield DAILY_BAR_DIVIDENDS, [{"ex_date": each.ex_date, "amount": each.amount} for each in raw.dividends]


def _bar_rows(bars: DailyBars) -> _Rows:
    volumes = [None] * len(bars) if bars.volume is None else bars.volume.tolist()
    columns = [
        bars.sessions.tolist(),
        *(each.tolist() for each in (bars.open, bars.high, bars.low, bars.close)),
        volumes,
    ]
    names = [column.name for column in _own_columns(DAILY_BARS)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _coverage_row(coverage: Coverage) -> Mapping[str, Any]:
    return {"first": coverage.first, "last": coverage.last, "asked_at": coverage.asked_at}


async def _add(connection: AsyncConnection, table: Table, key: Mapping[str, str], rows: _Rows) -> int:
    """Add the rows that are not there, and return how many of those that are there differ."""
    if not rows:
        return 0
    day = _own_columns(table)[0].name
    days = [row[day] for row in rows]
    found = await _rows_of(connection, table, key["instrument"], key["source"], first=min(days), last=max(days))
    kept = {values[0]: values for values in found}
    new = [{**key, **row} for row in rows if row[day] not in kept]
    if new:
        # Another replica may have added the same since: its rows stand.
        await connection.execute(_insert(connection, table).on_conflict_do_nothing(), new)
    return sum(1 for row in rows if row[day] in kept and _differs(kept[row[day]][1:], list(row.values())[1:]))


def _differs(kept: Sequence[float | None], told: Sequence[float | None]) -> bool:
    """Say whether two rows differ by more than rounding; a figure that one of them lacks is no difference."""
    pairs = [(one, other) for one, other in zip(kept, told, strict=True) if one is not None and other is not None]
    return any(abs(one - other) > SAME_WITHIN * max(abs(one), abs(other)) for one, other in pairs)


def _own_columns(table: Table) -> list[ColumnElement[Any]]:
    return [column for column in table.columns if column.name not in ("instrument", "source")]


def _insert(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _widening(connection: AsyncConnection) -> postgresql.Insert | sqlite.Insert:
    statement = _insert(connection, DAILY_BAR_COVERAGES)
    kept, told = DAILY_BAR_COVERAGES.columns, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["instrument", "source"],
        set_={
            "first": case((told.first < kept.first, told.first), else_=kept.first),
            "last": case((told.last > kept.last, told.last), else_=kept.last),
            "asked_at": case((told.asked_at > kept.asked_at, told.asked_at), else_=kept.asked_at),
        },
    )
