"""Takes brokers' rows in, whole or not at all, and deletes them."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from portfolio.domain.ports import SyncStore
from portfolio.domain.row_fields import RowsInvalid, require_countable
from portfolio.domain.rows import DeletedCounts, RowCounts, SyncedRows
from portfolio.domain.snapshots import snapshot_at_sync
from portfolio.domain.users import require_user_id

# How far brokers' clock may be ahead of ours. A sync from the future would refuse all true ones until then.
CLOCK_ALLOWANCE = timedelta(seconds=60)


class SyncSuperseded(ServiceError):
    """Something newer than this sync is in already."""

    code = Code.ABORTED
    reason = "SYNC_SUPERSEDED"
    retry_after_seconds = 1.0

    def __init__(self, by: str) -> None:
        super().__init__(f"{by}; nothing was changed")


class SyncDesk:
    """Replaces and deletes what brokers said.

    Args:
        store: keeps it.
        clock: says when.
        on_replaced: called after rows were replaced: there is something to tell.
    """

    def __init__(self, store: SyncStore, *, clock: Clock, on_replaced: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_replaced = on_replaced

    async def replace(self, rows: SyncedRows) -> RowCounts:
        """Replace a broker's rows of a user by a sync's, and write the day's snapshot with them.

        Raises:
            UserIdInvalid: no user has such an id.
            RowsInvalid: there are too many rows, or the sync cannot have been.
            SyncSuperseded: a sync that began later, or a deletion, is already in.
        """
        sync = rows.sync
        require_user_id(sync.user_id)
        require_sync_id(sync.id)
        require_countable("holdings", rows.holdings)
        require_countable("positions", rows.positions)
        if sync.synced_at < sync.started_at:
            raise RowsInvalid("synced_at", "it is before started_at")
        if sync.synced_at > self._clock.now() + CLOCK_ALLOWANCE:
            raise RowsInvalid("synced_at", "it lies in the future")
        counts = await self._store.replace(rows, await snapshot_at_sync(rows))
        self._on_replaced()
        return counts

    async def delete(self, user_id: str) -> DeletedCounts:
        """Delete all synced rows and snapshots of a user; a sync that is under way will be refused.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        return await self._store.delete(user_id, at=self._clock.now())


def require_sync_id(text: str) -> None:
    """Refuse what is no UUID in its usual form.

    Raises:
        RowsInvalid: it is something else.
    """
    try:
        is_usual = str(UUID(text)) == text.lower()
    except ValueError:
        is_usual = False
    if not is_usual:
        raise RowsInvalid("sync_id", "a UUID is needed")
