"""Keeps measured pattern statistics, so that a market that starts again need not measure first."""

from datetime import date

from sqlalchemy import and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from chassis.database import Database
from market.domain.pattern_statistics import PatternKey, PatternStatistics, TrackRecord
from market.domain.patterns import PATTERNS, Direction
from market.storage.tables import PATTERN_STATISTICS

_EVERY_KEY = {PatternKey(pattern.name, direction) for pattern in PATTERNS for direction in Direction}
_KEY_COLUMNS = [column.name for column in PATTERN_STATISTICS.primary_key]
_COUNT_COLUMNS = [column.name for column in PATTERN_STATISTICS.columns if column.name not in _KEY_COLUMNS]


class PatternStatisticsStore:
    """The statistics of one source in one configuration; those of others are never seen.

    Args:
        database: where they are kept.
        source: the source whose bars they were measured on.
        configuration: what `configuration_key` says of the source's settings.
    """

    def __init__(self, database: Database, *, source: str, configuration: str) -> None:
        self._database = database
        self._source = source
        self._configuration = configuration

    async def replace(self, statistics: PatternStatistics) -> None:
        """Put statistics in the place of those of the same session, all or none.

        Two writers of the same session leave the whole of what the later one wrote.

        Raises:
            DatabaseUnavailable: nothing was changed, or the change was not acknowledged.
        """
        owner = {"source": self._source, "configuration": self._configuration, "session": statistics.session}
        rows = [
            {
                **owner,
                "pattern": key.pattern,
                "direction": int(key.direction),
                "cases": record.cases,
                "hits": record.hits,
                "base_cases": record.base_cases,
                "base_hits": record.base_hits,
            }
            for key, record in sorted(statistics.records.items())
        ]
        async with self._database.transaction() as connection:
            await connection.execute(delete(PATTERN_STATISTICS).where(self._of(statistics.session)))
            if rows:
                await connection.execute(_upsert(connection), rows)

    async def read(self, session: date) -> PatternStatistics | None:
        """Return the statistics of a session; None when there are none, or not of every pattern.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        query = select(PATTERN_STATISTICS).where(self._of(session))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        records = {
            PatternKey(row.pattern, Direction(row.direction)): TrackRecord(
                cases=row.cases, hits=row.hits, base_cases=row.base_cases, base_hits=row.base_hits
            )
            for row in rows
        }
        return PatternStatistics(session, records) if records.keys() == _EVERY_KEY else None

    def _of(self, session: date) -> ColumnElement[bool]:
        columns = PATTERN_STATISTICS.columns
        return and_(
            columns.source == self._source,
            columns.configuration == self._configuration,
            columns.session == session,
        )


def _upsert(connection: AsyncConnection) -> postgresql.Insert | sqlite.Insert:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(PATTERN_STATISTICS)
    return statement.on_conflict_do_update(
        index_elements=_KEY_COLUMNS, set_={name: statement.excluded[name] for name in _COUNT_COLUMNS}
    )
