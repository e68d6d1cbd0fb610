"""What has fired for a user, in pages."""

from alerts.domain.desk import require_user_id
from alerts.domain.fires import FireCursor, FirePage, page_of, page_size
from alerts.domain.ports import FireHistory


class History:
    """Lists fires."""

    def __init__(self, fires: FireHistory) -> None:
        self._fires = fires

    async def list_fires(self, user_id: str, *, limit: int, cursor: str) -> FirePage:
        """Return a user's fires with their receipts, newest first.

        Args:
            user_id: the user.
            limit: how many, 1 to 50; 0 for as many as are usual.
            cursor: where the page before ended; empty for the newest.

        Raises:
            UserIdInvalid: no user has such an id.
            LimitInvalid: so many are not answered at once.
            CursorInvalid: no page ended there.
        """
        require_user_id(user_id)
        size = page_size(limit)
        after = FireCursor.read(cursor)
        return page_of(await self._fires.list_of(user_id, limit=size + 1, after=after), size)
