"""The corporate action service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.market.v1 import corporate_actions_pb2, corporate_actions_pb2_grpc
from market.domain.corporate_actions import list_splits
from market.domain.ports import SplitSource
from market.messages.corporate_actions import splits_message


class CorporateActionService(corporate_actions_pb2_grpc.CorporateActionServiceServicer):
    """Says what happened to instruments' units."""

    def __init__(self, splits: SplitSource) -> None:
        self._splits = splits

    async def ListSplits(  # the contract's name
        self,
        request: corporate_actions_pb2.ListSplitsRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> corporate_actions_pb2.ListSplitsResponse:
        """List the splits and bonuses of instruments since a date."""
        return splits_message(await list_splits(self._splits, request.instruments, request.from_date))
