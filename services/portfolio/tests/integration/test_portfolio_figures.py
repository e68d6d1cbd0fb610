"""What portfolio counts moves when the thing happens, and is what the README says."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from bourse.portfolio.v1.holdings_pb2_grpc import HoldingServiceStub
from bourse.portfolio.v1.positions_pb2_grpc import PositionServiceStub
from bourse.portfolio.v1.summaries_pb2_grpc import SummaryServiceStub
from bourse.portfolio.v1.syncs_pb2_grpc import SyncedPortfolioServiceStub
from pydantic import SecretStr

from bourse.portfolio.v1 import holdings_pb2, positions_pb2, summaries_pb2
from chassis.clock import ManualClock
from chassis.metrics import value_of
from chassis.testing import free_port, promised_metrics, told_metrics
from portfolio.app import build
from portfolio.domain.summary_sending import MAX_AN_HOUR
from portfolio.settings import Settings
from portfolio.testing import SmallAuth, SmallMarket, holding, position, sync_request

README = Path(__file__).parents[2] / "README.md"
# A Thursday, 11:00 in India.
NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def moves(name: str, label: str, values: tuple[str, ...]) -> list[float]:
    return [value_of(name, {label: value}) or 0.0 for value in values]


def moved(before: list[float], after: list[float]) -> list[float]:
    return [now - then for now, then in zip(after, before, strict=True)]


async def swallow(call: Awaitable[Any]) -> None:
    with suppress(grpc.aio.AioRpcError):
        await call


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(f"nats://127.0.0.1:{free_port()}"),
        portfolio_address=f"127.0.0.1:{free_port()}",
        portfolio_database_url=SecretStr(database_url),
        market_address=f"127.0.0.1:{free_port()}",
        auth_address=f"127.0.0.1:{free_port()}",
    )


@pytest.fixture
async def market(settings: Settings) -> AsyncIterator[SmallMarket]:
    market = SmallMarket()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    async with market.serving(settings.market_address):
        yield market


@pytest.fixture
async def auth(settings: Settings) -> AsyncIterator[SmallAuth]:
    auth = SmallAuth()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    async with auth.serving(settings.auth_address):
        yield auth


@pytest.fixture
async def channel(settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        build(settings, ManualClock(NOW)),
        grpc.aio.insecure_channel(settings.portfolio_address) as channel,
    ):
        yield channel


async def test_the_readme_names_what_a_running_service_tells(channel: grpc.aio.Channel) -> None:
    assert told_metrics("bourse_portfolio_") == promised_metrics(README)
    assert value_of("bourse_portfolio_snapshots_missing") == 0
    assert value_of("bourse_portfolio_summaries_under_way") == 0


async def test_syncs_are_counted_by_what_became_of_them(channel: grpc.aio.Channel) -> None:
    outcomes = ("ok", "superseded", "refused")
    before = moves("bourse_portfolio_syncs_total", "outcome", outcomes)
    replace = SyncedPortfolioServiceStub(channel).ReplaceBrokerRows
    await replace(sync_request(holding(), synced_at=NOW), timeout=10)
    await swallow(replace(sync_request(holding(), synced_at=NOW - 60 * SECOND), timeout=10))
    await swallow(replace(sync_request(holding(quantity="many"), synced_at=NOW), timeout=10))
    assert moved(before, moves("bourse_portfolio_syncs_total", "outcome", outcomes)) == [1, 1, 1]


async def test_rows_are_counted_by_how_fresh_their_price_is(market: SmallMarket, channel: grpc.aio.Channel) -> None:
    market.price("NSE:TCS", 3842.5, at=NOW)
    prices, outcomes = ("live", "stale", "none"), ("found", "unknown", "unanswered")
    rows = moves("bourse_portfolio_rows_total", "price", prices)
    quotes = moves("bourse_portfolio_quotes_total", "outcome", outcomes)
    request = sync_request(
        holding("TCS"),
        holding("INFY", last_price="1500"),
        positions=(position("NOPE", "5"),),
        synced_at=NOW - SECOND,
    )
    await SyncedPortfolioServiceStub(channel).ReplaceBrokerRows(request, timeout=10)
    await HoldingServiceStub(channel).ListHoldings(holdings_pb2.ListHoldingsRequest(user_id="7"), timeout=10)
    await PositionServiceStub(channel).ListPositions(positions_pb2.ListPositionsRequest(user_id="7"), timeout=10)
    assert moved(rows, moves("bourse_portfolio_rows_total", "price", prices)) == [1, 1, 1]
    assert moved(quotes, moves("bourse_portfolio_quotes_total", "outcome", outcomes)) == [1, 2, 0]


async def test_summaries_are_counted_by_what_became_of_them(
    market: SmallMarket, auth: SmallAuth, channel: grpc.aio.Channel
) -> None:
    market.price("NSE:TCS", 3842.5, at=NOW)
    auth.know("7")
    auth.know("8", "ravi@example.com", wants_summary=False)
    outcomes = ("ok", "throttled", "refused", "unavailable")
    before = moves("bourse_portfolio_summaries_total", "outcome", outcomes)
    send = SummaryServiceStub(channel).SendSummary
    for _ in range(MAX_AN_HOUR + 1):
        await swallow(send(summaries_pb2.SendSummaryRequest(user_id="7"), timeout=20))
    await swallow(send(summaries_pb2.SendSummaryRequest(user_id="8"), timeout=20))
    auth.is_down = True
    await swallow(send(summaries_pb2.SendSummaryRequest(user_id="7"), timeout=20))
    assert moved(before, moves("bourse_portfolio_summaries_total", "outcome", outcomes)) == [MAX_AN_HOUR, 1, 1, 1]
