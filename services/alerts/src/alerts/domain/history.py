"""What has fired for a user, in pages, and how each fire was told."""

from collections.abc import Sequence

from alerts.domain.deliveries import Delivery, FireId, not_begun
from alerts.domain.desk import require_user_id
from alerts.domain.fires import Fire, FireCursor, FirePage, page_of, page_size
from alerts.domain.ports import DeliveryHistory, FireHistory


class History:
    """Lists fires."""

    def __init__(self, fires: FireHistory, deliveries: DeliveryHistory, *, sender: str) -> None:
        """List fires that are told by mails from `sender`."""
        self._fires = fires
        self._deliveries = deliveries
        self._sender = sender

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

    async def deliveries_of(self, fires: Sequence[Fire]) -> Sequence[Sequence[Delivery]]:
        """Return for each fire how it was told: by the event, then by mail; both wait until its event was heard."""
        if not fires:
            return []
        fire_ids = [FireId.of(fire) for fire in fires]
        begun = await self._deliveries.of_fires(fire_ids)
        return [begun.get(fire_id) or not_begun(fire_id, self._sender) for fire_id in fire_ids]
