"""When exchanges trade."""

from bourse.market.v1 import calendars_pb2
from market.domain.trading_days import TradingDays
from market.messages.provenance import timestamp


def trading_days_message(days: TradingDays) -> calendars_pb2.ListSessionsResponse:
    """Answer with sessions and with how far they are known."""
    return calendars_pb2.ListSessionsResponse(
        sessions=[
            calendars_pb2.TradingSession(
                date=each.date.isoformat(), opens_at=timestamp(each.opens_at), closes_at=timestamp(each.closes_at)
            )
            for each in days.sessions
        ],
        known_from=days.known_from.isoformat(),
        known_through=days.known_through.isoformat(),
    )
