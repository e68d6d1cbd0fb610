"""What instruments cost before, asked of market."""

import logging
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import grpc

from bourse.market.v1 import history_pb2, history_pb2_grpc
from portfolio.domain.market import MarketUnavailable
from portfolio.domain.quotes import Freshness
from portfolio.domain.value_series import PastCloses
from portfolio.providers.quotes import price_of, provenance_of
from portfolio.providers.refusals import no_answer

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0

_NOTHING_KNOWN = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})


class MarketCloses:
    """Asks market's history service for daily bars, adjusted for splits."""

    def __init__(self, stub: "history_pb2_grpc.HistoryServiceAsyncStub") -> None:
        self._stub = stub

    async def closes(self, instrument: str, *, first: date, last: date) -> PastCloses:
        """Return the closes of the days from `first` to `last`, both with; none of what market knows nothing of.

        Raises:
            MarketUnavailable: market did not answer in time, failed, or answered what is no history.
        """
        request = history_pb2.ListDailyBarsRequest(
            symbol=instrument,
            from_date=first.isoformat(),
            to_date=last.isoformat(),
            adjustment=history_pb2.ADJUSTMENT_SPLIT,
        )
        try:
            response = await self._stub.ListDailyBars(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NOTHING_KNOWN:
                return PastCloses((), is_simulated=False)
            raise no_answer(error, asked_for="history") from error
        provenance = provenance_of(response.provenance)
        if provenance is None:
            log.warning("market's history does not say how far it can be relied on")
            raise MarketUnavailable
        return PastCloses(_closes_in(response.bars), provenance.freshness is Freshness.SIMULATED)


def _closes_in(bars: Iterable[history_pb2.DailyBar]) -> tuple[tuple[date, Decimal], ...]:
    """Return the closes, oldest first; a bar without a price has none."""
    try:
        closes = {date.fromisoformat(bar.date): price_of(bar.close) for bar in bars}
    except ValueError as error:
        log.warning("market lists what is no history")
        raise MarketUnavailable from error
    return tuple((day, close) for day, close in sorted(closes.items()) if close is not None)
