"""When NSE trades, asked of market."""

import logging
from datetime import UTC, date

import grpc

from bourse.market.v1 import calendars_pb2, calendars_pb2_grpc
from portfolio.domain.market import MarketUnavailable
from portfolio.domain.sessions import KnownSessions, Session
from portfolio.providers.refusals import no_answer

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 3.0
EXCHANGE = "NSE"


class MarketSessions:
    """Asks market's calendar service."""

    def __init__(self, stub: "calendars_pb2_grpc.CalendarServiceAsyncStub") -> None:
        self._stub = stub

    async def sessions(self, first: date, last: date) -> KnownSessions:
        """Return NSE's sessions of the days from `first` to `last`, both with.

        Raises:
            MarketUnavailable: market did not answer in time, failed, or answered what is no calendar.
        """
        request = calendars_pb2.ListSessionsRequest(
            exchange=EXCHANGE, from_date=first.isoformat(), to_date=last.isoformat()
        )
        try:
            response = await self._stub.ListSessions(request, timeout=DEADLINE_SECONDS)
            return _sessions_of(response)
        except grpc.aio.AioRpcError as error:
            raise no_answer(error, asked_for="sessions") from error
        except ValueError as error:
            log.warning("market lists what is no calendar")
            raise MarketUnavailable from error


def _sessions_of(response: calendars_pb2.ListSessionsResponse) -> KnownSessions:
    sessions = [
        Session(
            date=date.fromisoformat(session.date),
            opens_at=session.opens_at.ToDatetime(tzinfo=UTC),
            closes_at=session.closes_at.ToDatetime(tzinfo=UTC),
        )
        for session in response.sessions
    ]
    return KnownSessions(
        sessions=sorted(sessions, key=lambda session: session.opens_at),
        known_from=date.fromisoformat(response.known_from),
        known_through=date.fromisoformat(response.known_through),
    )
