"""Summaries of portfolios, with behaviour and without a mail server."""

from collections.abc import Awaitable, Callable
from typing import Any

from bourse.portfolio.v1 import summaries_pb2 as pb
from bourse.portfolio.v1 import summaries_pb2_grpc
from chassis.errors import Code
from fakes.faults import NOW, Refusal


class FakeSummaries:
    """Summaries that were sent.

    Attributes:
        sent: whom to, the last one last.
        unwanted: who has unsubscribed.
    """

    def __init__(self, meet: Callable[[str, Any], Awaitable[None]]) -> None:
        self._meet = meet
        self.sent: list[str] = []
        self.unwanted: set[str] = set()

    async def SendSummary(self, request: pb.SendSummaryRequest, context: Any) -> pb.SendSummaryResponse:
        await self._meet("SendSummary", context)
        if request.user_id in self.unwanted:
            raise Refusal(Code.FAILED_PRECONDITION, "SUMMARY_UNWANTED", "you have unsubscribed from summaries")
        self.sent.append(request.user_id)
        reply = pb.SendSummaryResponse(message_id=f"<summary-{len(self.sent)}@localhost>")
        reply.sent_at.FromDatetime(NOW)
        return reply

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: summaries_pb2_grpc.add_SummaryServiceServicer_to_server(fake, server)]
