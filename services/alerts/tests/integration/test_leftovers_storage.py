"""Rows of which nothing can come any more go, and nothing else does, on both kinds of database."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, insert, select

from alerts.domain.alerts import Alert, AlertChanged, AlertType
from alerts.domain.continuity import NotEvaluated, Reason
from alerts.domain.ids import first_id_of
from alerts.storage.alerts import Alerts
from alerts.storage.leftovers import Leftovers
from alerts.storage.progress import SavedProgress, missing_row
from alerts.storage.tables import DELETED_ALERTS, ENDED_ACCOUNTS, NOT_EVALUATED
from chassis.database import Database, ensure_schema

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SHOWN, KEPT = 5, 10


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "alerts")
        yield opened


@pytest.fixture
def leftovers(database: Database) -> Leftovers:
    return Leftovers(database)


def make_alert(alert_id: int) -> Alert:
    return Alert(alert_id, "7", AlertType.BUY, "NASDAQ:AAPL", "AAPL", Decimal(150), 1, created_at=START)


async def values_of(database: Database, column: Column[Any]) -> Sequence[Any]:
    async with database.reading() as connection:
        return (await connection.execute(select(column).order_by(column))).scalars().all()


async def test_ids_of_deleted_alerts_go_when_none_of_their_time_is_made_any_more(
    database: Database, leftovers: Leftovers
) -> None:
    alerts = Alerts(database)
    ids = [first_id_of(START + number * SECOND) for number in range(5)]
    for alert_id in ids:
        await alerts.save(make_alert(alert_id), replaces=None, lease=None)
        await alerts.delete(alert_id)
    assert await leftovers.forget_deleted(ids[3], limit=2) == 2
    assert await values_of(database, DELETED_ALERTS.c.id) == ids[2:]
    assert await leftovers.forget_deleted(ids[3], limit=2) == 1
    assert await leftovers.forget_deleted(ids[3], limit=2) == 0
    assert await values_of(database, DELETED_ALERTS.c.id) == ids[3:]
    with pytest.raises(AlertChanged):
        await alerts.save(make_alert(ids[3]), replaces=None, lease=None)


async def test_accounts_that_ended_long_ago_go(database: Database, leftovers: Leftovers) -> None:
    alerts = Alerts(database)
    for number in range(5):
        await alerts.delete_user(f"user-{number}", through=START + number * SECOND)
    assert await leftovers.forget_ended(START + 3 * SECOND, limit=2) == 2
    assert await leftovers.forget_ended(START + 3 * SECOND, limit=2) == 1
    assert await leftovers.forget_ended(START + 3 * SECOND, limit=2) == 0
    assert await values_of(database, ENDED_ACCOUNTS.c.user_id) == ["user-3", "user-4"]
    # Told once more, by then nothing is under way: it is refused for as long as it is remembered again.
    assert await alerts.delete_user("user-0", through=START) == []
    await alerts.save(replace(make_alert(1), user_id="user-0", created_at=START + SECOND), replaces=None, lease=None)


async def record(database: Database, *, shard: int | None, ends: Sequence[int]) -> None:
    rows = [
        missing_row(NotEvaluated(Reason.SEQUENCE_JUMP, START + (end - 1) * SECOND, START + end * SECOND, shard))
        for end in ends
    ]
    async with database.transaction() as connection:
        await connection.execute(insert(NOT_EVALUATED), rows)


async def shown(database: Database, shard: int, moments: Sequence[int]) -> list[Sequence[NotEvaluated]]:
    saved = SavedProgress(database)
    return [await saved.missing_since(START + moment * SECOND, shard=shard, limit=SHOWN) for moment in moments]


async def test_stretches_that_nobody_is_shown_go(database: Database, leftovers: Leftovers) -> None:
    await record(database, shard=3, ends=range(1, 26))
    for gone in (8, 7, 0):
        assert await leftovers.forget_missing(3, shown=SHOWN, kept=KEPT, limit=8) == gone
    assert await values_of(database, NOT_EVALUATED.c.to_at) == [START + end * SECOND for end in range(16, 26)]


async def test_of_few_stretches_none_goes_and_other_shards_do_not_count(
    database: Database, leftovers: Leftovers
) -> None:
    await record(database, shard=3, ends=range(1, KEPT))
    await record(database, shard=4, ends=range(1, 100))
    assert await leftovers.forget_missing(3, shown=SHOWN, kept=KEPT, limit=100) == 0
    assert await leftovers.forget_missing(5, shown=SHOWN, kept=KEPT, limit=100) == 0


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_goes_everybody_is_shown_the_same_as_before(
    database: Database, leftovers: Leftovers, seed: int
) -> None:
    # Ticks' times jump, back as well: a replay, a publisher whose clock is wrong.
    chosen, moments = random.Random(seed), range(-1, 105, 3)
    for _ in range(4):
        await record(database, shard=3, ends=[chosen.randrange(100) for _ in range(25)])
        await record(database, shard=4, ends=[chosen.randrange(100) for _ in range(5)])
        await record(database, shard=None, ends=[chosen.randrange(100)])
        before = [await shown(database, shard, moments) for shard in (3, 4)]
        for shard in (3, 4):
            await leftovers.forget_missing(shard, shown=SHOWN, kept=KEPT, limit=1_000)
        assert [await shown(database, shard, moments) for shard in (3, 4)] == before
    assert len(await values_of(database, NOT_EVALUATED.c.id)) < 4 * 31
