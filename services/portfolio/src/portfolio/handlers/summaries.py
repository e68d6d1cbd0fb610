"""The summary service of the contract."""

from typing import Any

from grpc.aio import ServicerContext

from bourse.portfolio.v1 import summaries_pb2, summaries_pb2_grpc
from mail.messages import message_id_of
from portfolio.domain.summary_sending import SummaryDesk
from portfolio.handlers.outcomes import SUMMARIES, counting
from portfolio.messages.provenance import timestamp_message


class SummaryService(summaries_pb2_grpc.SummaryServiceServicer):
    """Sends summaries.

    Args:
        desk: sends them.
        sender: who they come from, of which their ids are made.
    """

    def __init__(self, desk: SummaryDesk, sender: str) -> None:
        self._desk = desk
        self._sender = sender

    async def SendSummary(  # the contract's name
        self,
        request: summaries_pb2.SendSummaryRequest,
        context: ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's shape
    ) -> summaries_pb2.SendSummaryResponse:
        """Send a user a summary."""
        with counting(SUMMARIES):
            sent = await self._desk.send(request.user_id)
        return summaries_pb2.SendSummaryResponse(
            message_id=message_id_of(sent.letter_id, self._sender), sent_at=timestamp_message(sent.sent_at)
        )
