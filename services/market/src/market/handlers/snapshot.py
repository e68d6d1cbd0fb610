"""The snapshot service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import snapshot_pb2, snapshot_pb2_grpc
from market.domain.snapshot_desk import SnapshotDesk
from market.handlers import PUBLIC_PRICES
from market.messages.snapshot import snapshot_message


class SnapshotService(snapshot_pb2_grpc.SnapshotServiceServicer):
    """Answers how the Indian market stands."""

    def __init__(self, desk: SnapshotDesk) -> None:
        self._desk = desk

    async def GetSnapshot(  # the contract's name
        self,
        request: snapshot_pb2.GetSnapshotRequest,  # noqa: ARG002  # it asks for nothing in particular
        context: ServicerContext[Any, Any],
    ) -> snapshot_pb2.GetSnapshotResponse:
        """Read the newest snapshot."""
        snapshot = await self._desk.read()
        await context.send_initial_metadata(PUBLIC_PRICES)
        return snapshot_message(snapshot)
