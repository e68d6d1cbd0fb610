"""Portfolio, asked to keep a sync's rows."""

import logging
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bourse.portfolio.v1 import syncs_pb2, syncs_pb2_grpc
from brokers.domain.errors import BrokerAnswerInvalid, PortfolioUnavailable, SyncSuperseded
from brokers.domain.rows import RowCounts
from brokers.domain.syncs import SyncedRows
from brokers.providers.row_messages import replace_request
from chassis.clock import Clock
from chassis.rpc_client import reason_of

log = logging.getLogger(__name__)

HEALTH_SECONDS = 2.0
REPLACE_SECONDS = 5.0
PAUSES_SECONDS = (0.1, 0.4, 1.6)
RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class PortfolioRows:
    """Hands rows to portfolio's service of synced portfolios.

    Args:
        stub: portfolio.
        health: portfolio's health.
        clock: waits between two tries.
        jitter: returns 0 to 1, by which the waits differ.
    """

    def __init__(
        self,
        stub: "syncs_pb2_grpc.SyncedPortfolioServiceAsyncStub",
        health: health_pb2_grpc.HealthStub,
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._stub = stub
        self._health = health
        self._clock = clock
        self._jitter = jitter

    async def require_reachable(self) -> None:
        """Make sure that portfolio serves.

        Raises:
            PortfolioUnavailable: it does not.
        """
        request = health_pb2.HealthCheckRequest()
        try:
            answer = await self._health.Check(request, timeout=HEALTH_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            log.warning("portfolio does not answer", extra={"status": error.code().name})
            raise PortfolioUnavailable(is_code_spent=False) from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise PortfolioUnavailable(is_code_spent=False)

    async def replace(self, rows: SyncedRows) -> RowCounts:
        """Replace a user's rows of one broker; the same sync is sent again while portfolio does not answer.

        Raises:
            SyncSuperseded: a later sync, or a deletion, is already in.
            BrokerAnswerInvalid: portfolio finds the rows impossible.
            PortfolioUnavailable: it did not answer, however often it was asked.
        """
        request = replace_request(rows)
        for pause in PAUSES_SECONDS:
            try:
                return await self._replace(request, rows)
            except grpc.aio.AioRpcError as error:
                log.warning("portfolio does not answer", extra={"status": error.code().name, "sync_id": rows.sync_id})
                if error.code() not in RETRIED:
                    raise PortfolioUnavailable(is_code_spent=True) from None
            await self._clock.sleep(pause * (1 + self._jitter()))
        try:
            return await self._replace(request, rows)
        except grpc.aio.AioRpcError as error:
            log.warning("rows given up", extra={"status": error.code().name, "sync_id": rows.sync_id})
            raise PortfolioUnavailable(is_code_spent=True) from None

    async def _replace(self, request: syncs_pb2.ReplaceBrokerRowsRequest, rows: SyncedRows) -> RowCounts:
        try:
            answer = await self._stub.ReplaceBrokerRows(request, timeout=REPLACE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ABORTED:
                raise SyncSuperseded from None
            if reason_of(error) == "ROWS_INVALID":
                # Portfolio names the field and never repeats what it holds.
                log.error("portfolio refuses rows", extra={"problem": error.details(), "sync_id": rows.sync_id})  # noqa: TRY400
                raise BrokerAnswerInvalid(rows.broker) from None
            raise
        return RowCounts(answer.holdings_count, answer.positions_count, answer.net_positions_count)
