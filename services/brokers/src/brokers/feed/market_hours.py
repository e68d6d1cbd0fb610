"""Asks market when the Indian exchanges trade, and keeps the answer."""

import logging
from datetime import UTC, date, datetime, time, timedelta

import grpc

from bourse.market.v1 import calendars_pb2, calendars_pb2_grpc
from brokers.domain.sessions import INDIA
from brokers.domain.trading_hours import TradingHours, TradingSession
from chassis.clock import Clock

log = logging.getLogger(__name__)

# NSE's sessions are BSE's.
EXCHANGE = "NSE"
DAYS_BACK = 7
DAYS_AHEAD = 60
REFRESH_SECONDS = 3_600.0
RETRY_SECONDS = 15.0


class MarketHours:
    """Keeps what market's calendar says; an answer outlives market's absence for as long as its dates reach.

    Args:
        calendars: market's calendar service.
        clock: what the time is.
    """

    def __init__(self, calendars: "calendars_pb2_grpc.CalendarServiceAsyncStub", clock: Clock) -> None:
        self._calendars = calendars
        self._clock = clock
        self._hours: TradingHours | None = None

    def known(self) -> TradingHours | None:
        """Return when the exchanges trade; None before market has answered."""
        return self._hours

    async def run(self) -> None:
        """Ask now, soon again without an answer, and each hour with one, until cancelled."""
        while True:
            has_answer = await self._ask()
            await self._clock.sleep(REFRESH_SECONDS if has_answer else RETRY_SECONDS)

    async def _ask(self) -> bool:
        today = self._clock.now().astimezone(INDIA).date()
        request = calendars_pb2.ListSessionsRequest(
            exchange=EXCHANGE,
            from_date=(today - timedelta(days=DAYS_BACK)).isoformat(),
            to_date=(today + timedelta(days=DAYS_AHEAD)).isoformat(),
        )
        try:
            hours = _hours_of(await self._calendars.ListSessions(request), request)
        except grpc.aio.AioRpcError as error:
            log.info("market hours not known", extra={"code": error.code().name})
            return False
        except ValueError:
            log.warning("market hours cannot be read")
            return False
        self._hours = hours
        return True


def _hours_of(answer: calendars_pb2.ListSessionsResponse, request: calendars_pb2.ListSessionsRequest) -> TradingHours:
    """Return what the answer says about the dates that were asked for.

    Raises:
        ValueError: a date is none.
    """
    known_from = max(date.fromisoformat(answer.known_from), date.fromisoformat(request.from_date))
    known_through = min(date.fromisoformat(answer.known_through), date.fromisoformat(request.to_date))
    sessions = [
        TradingSession(each.opens_at.ToDatetime(tzinfo=UTC), each.closes_at.ToDatetime(tzinfo=UTC))
        for each in answer.sessions
    ]
    return TradingHours(_start_of(known_from), _start_of(known_through + timedelta(days=1)), sessions)


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, INDIA)
