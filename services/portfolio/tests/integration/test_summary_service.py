"""The summary as the gateway asks for it: gRPC in front, a real database behind, letters in a folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import grpc
import pytest
from bourse.portfolio.v1.summaries_pb2_grpc import SummaryServiceStub
from pydantic import SecretStr
from sqlalchemy import func, select

from bourse.portfolio.v1 import (
    manual_portfolios_pb2,
    manual_portfolios_pb2_grpc,
    summaries_pb2,
    syncs_pb2_grpc,
)
from chassis.clock import ManualClock
from chassis.database import Database
from chassis.rpc_client import reason_of, retry_after_of
from chassis.testing import free_port
from portfolio.app import build
from portfolio.domain.accounts import AccountDeleted
from portfolio.domain.summary_sending import HOUR, MAX_AN_HOUR, SummaryThrottled
from portfolio.settings import Settings
from portfolio.storage.accounts import StoredAccounts
from portfolio.storage.summary_letters import StoredSummaryLetters
from portfolio.storage.tables import SUMMARY_LETTERS
from portfolio.testing import SmallAuth, SmallMarket, holding, sync_request

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
CODES = grpc.StatusCode
ADDRESS, OTHER_ADDRESS = "a" * 64, "0" * 64
PAST = {f"2026-0{month}-{day:02}": 190.0 + day for month in (1, 2) for day in range(1, 29)}


class Caller:
    """Speaks to portfolio as the gateway does, for one user, and reads what has landed in the outbox."""

    def __init__(self, channel: grpc.aio.Channel, outbox: Path, user_id: str = "7") -> None:
        self.user_id = user_id
        self._outbox = outbox
        self._summaries = SummaryServiceStub(channel)
        self._own = manual_portfolios_pb2_grpc.ManualPortfolioServiceStub(channel)
        self._syncs = syncs_pb2_grpc.SyncedPortfolioServiceStub(channel)

    async def send(self) -> summaries_pb2.SendSummaryResponse:
        request = summaries_pb2.SendSummaryRequest(user_id=self.user_id)
        answer: summaries_pb2.SendSummaryResponse = await self._summaries.SendSummary(
            request, timeout=30, wait_for_ready=True
        )
        return answer

    async def enter(self, *stocks: tuple[str, str, str], name: str = "Mine & <b>yours</b>") -> None:
        request = manual_portfolios_pb2.CreatePortfolioRequest(user_id=self.user_id, name=name)
        made = (await self._own.CreatePortfolio(request, timeout=20, wait_for_ready=True)).portfolio
        entries = [manual_portfolios_pb2.StockEntry(symbol=s, quantity=q, total_cost=c) for s, q, c in stocks]
        put = manual_portfolios_pb2.PutStocksRequest(user_id=self.user_id, portfolio_id=made.id, stocks=entries)
        await self._own.PutStocks(put, timeout=20)

    async def sync(self, *, at: datetime, price: str = "3700") -> None:
        row = holding("TCS", "10", average_price="3500", last_price=price, close_price="3650")
        await self._syncs.ReplaceBrokerRows(
            sync_request(row, user_id=self.user_id, synced_at=at), timeout=20, wait_for_ready=True
        )

    def letters(self) -> list[EmailMessage]:
        files = sorted(self._outbox.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        read = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in files]
        return [each for each in read if isinstance(each, EmailMessage)]


def part(letter: EmailMessage, kind: str) -> str:
    body = letter.get_body((kind,))
    assert body is not None
    return str(body.get_content())


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), reason_of(raised.value)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(f"nats://127.0.0.1:{free_port()}"),
        portfolio_address=f"127.0.0.1:{free_port()}",
        portfolio_database_url=SecretStr(database_url),
        market_address=f"127.0.0.1:{free_port()}",
        auth_address=f"127.0.0.1:{free_port()}",
        public_url="https://bourse.example.com",
    )


@pytest.fixture
async def market(settings: Settings) -> AsyncIterator[SmallMarket]:
    market = SmallMarket()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    market.list_instrument("NASDAQ:AAPL", "Apple Inc.")
    market.price("NASDAQ:AAPL", 201.28, at=NOW, previous_close=199.13, currency="USD", source="yahoo")
    market.price("NSE:TCS", 3842.5, at=NOW, previous_close=3650.0)
    market.remember("NASDAQ:AAPL", PAST)
    async with market.serving(settings.market_address):
        yield market


@pytest.fixture
async def auth(settings: Settings) -> AsyncIterator[SmallAuth]:
    auth = SmallAuth()  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    auth.know("7")
    async with auth.serving(settings.auth_address):
        yield auth


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def caller(settings: Settings, clock: ManualClock) -> AsyncIterator[Caller]:
    async with build(settings, clock), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        yield Caller(channel, settings.run_dir / "outbox")


async def test_the_summary_tells_of_all_that_is_held(
    market: SmallMarket, auth: SmallAuth, caller: Caller, clock: ManualClock
) -> None:
    await caller.sync(at=NOW - timedelta(days=1), price="3600")
    await caller.sync(at=NOW - timedelta(minutes=1))
    await caller.enter(("AAPL", "2", "300"))
    sent = await caller.send()
    (letter,) = caller.letters()
    assert (letter["Message-ID"], sent.sent_at.ToDatetime(tzinfo=UTC)) == (sent.message_id, NOW)
    assert letter["To"] == "asha@example.com"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = part(letter, "plain"), part(letter, "html")
    for version in (text, html):
        assert "₹38,425.00" in version
        assert "$402.56" in version
        assert "+5.27%" in version
        assert "not registered with SEBI" in version
    assert "Mine & <b>yours</b>" in text
    assert "Mine &amp; &lt;b&gt;yours&lt;/b&gt;" in html
    assert "Synced holdings in INR: ₹36,000.00 on 11 Mar 2026, ₹37,000.00 on 12 Mar 2026" in text
    assert "Own portfolios in USD: $382.00 on 1 Jan 2026, $436.00 on 28 Feb 2026" in text
    pictures = [each.get_content() for each in letter.walk() if each.get_content_type() == "image/png"]
    assert [png[:8] for png in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2


async def test_a_repeat_is_a_new_letter_up_to_six_an_hour(
    market: SmallMarket, auth: SmallAuth, caller: Caller, clock: ManualClock
) -> None:
    ids = {(await caller.send()).message_id for _ in range(MAX_AN_HOUR)}
    assert len(ids) == len(caller.letters()) == MAX_AN_HOUR
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await caller.send()
    assert (raised.value.code(), reason_of(raised.value)) == (CODES.RESOURCE_EXHAUSTED, "SUMMARY_THROTTLED")
    assert retry_after_of(raised.value) == HOUR.total_seconds()
    await clock.advance(HOUR.total_seconds())
    await caller.send()
    assert len(caller.letters()) == MAX_AN_HOUR + 1


async def test_who_has_nothing_gets_a_summary_that_says_so(
    market: SmallMarket, auth: SmallAuth, caller: Caller
) -> None:
    market.is_down = True
    await caller.send()
    (letter,) = caller.letters()
    assert "There is nothing in your portfolios yet" in part(letter, "plain")


async def test_who_is_not_to_be_written_to_is_not(market: SmallMarket, auth: SmallAuth, caller: Caller) -> None:
    auth.know("7", wants_summary=False)
    assert await refusal(caller.send()) == (CODES.FAILED_PRECONDITION, "SUMMARY_UNWANTED")
    caller.user_id = "8"
    assert await refusal(caller.send()) == (CODES.NOT_FOUND, "USER_NOT_FOUND")
    auth.is_down = True
    assert await refusal(caller.send()) == (CODES.UNAVAILABLE, "CONTACT_UNAVAILABLE")
    assert caller.letters() == []


async def test_only_verified_addresses_are_written_to_where_that_is_asked_for(
    settings: Settings, market: SmallMarket, auth: SmallAuth
) -> None:
    auth.know("7", is_verified=False)
    careful = settings.model_copy(update={"mail_verified_only": True})
    async with build(careful, ManualClock(NOW)), grpc.aio.insecure_channel(settings.portfolio_address) as channel:
        caller = Caller(channel, settings.run_dir / "outbox")
        assert await refusal(caller.send()) == (CODES.FAILED_PRECONDITION, "EMAIL_UNVERIFIED")
        auth.know("7")
        await caller.send()


async def test_without_market_brokers_prices_stand_and_what_has_none_is_said(
    market: SmallMarket, auth: SmallAuth, caller: Caller
) -> None:
    await caller.enter(("AAPL", "2", "300"))
    market.is_down = True
    assert await refusal(caller.send()) == (CODES.UNAVAILABLE, "PRICES_UNAVAILABLE")
    await caller.sync(at=NOW - timedelta(minutes=1))
    await caller.send()
    (letter,) = caller.letters()
    text = part(letter, "plain")
    assert "₹37,000.00" in text
    assert "1 of the lines has no price and is in no sum." in text


async def test_a_mail_that_cannot_be_written_is_told(
    settings: Settings, market: SmallMarket, auth: SmallAuth, caller: Caller
) -> None:
    (settings.run_dir / "outbox").write_text("in the way")
    assert await refusal(caller.send()) == (CODES.UNAVAILABLE, "MAIL_UNAVAILABLE")
    auth.know("7", email="no address\nat all")
    assert await refusal(caller.send()) == (CODES.INVALID_ARGUMENT, "MAIL_REFUSED")


async def test_simulated_prices_are_said_in_the_subject(market: SmallMarket, auth: SmallAuth, caller: Caller) -> None:
    market.price("NASDAQ:AAPL", 5.0, at=NOW, currency="USD", freshness="SIMULATED", source="sample")
    market.remember("NASDAQ:AAPL", PAST, freshness="SIMULATED")
    await caller.enter(("AAPL", "2", "300"))
    await caller.send()
    (letter,) = caller.letters()
    assert letter["Subject"] == "[Simulated] Your portfolio summary, 12 Mar 2026, 11:00 IST"
    assert "Own portfolios in USD, SIMULATED" in part(letter, "plain")


async def test_two_replicas_together_send_no_more_than_six(
    settings: Settings, market: SmallMarket, auth: SmallAuth
) -> None:
    other = settings.model_copy(update={"portfolio_address": f"127.0.0.1:{free_port()}"})
    async with AsyncExitStack() as stack:
        callers = []
        for each in (settings, other):
            await stack.enter_async_context(build(each, ManualClock(NOW)))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(each.portfolio_address))
            callers.append(Caller(channel, settings.run_dir / "outbox"))
        calls = [caller.send() for caller in callers for _ in range(MAX_AN_HOUR)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert {reason_of(each) for each in refused} == {"SUMMARY_THROTTLED"}
        assert (len(refused), len(callers[0].letters())) == (MAX_AN_HOUR, MAX_AN_HOUR)


async def test_a_new_account_of_an_address_goes_on_where_the_deleted_one_was(
    settings: Settings, market: SmallMarket, auth: SmallAuth, caller: Caller
) -> None:
    for _ in range(MAX_AN_HOUR):
        await caller.send()
    async with Database.open(settings.database_url) as database:
        await StoredAccounts(database).delete_account("7", through=NOW)
    auth.know("8", email="ASHA@example.com")
    caller.user_id = "8"
    assert await refusal(caller.send()) == (CODES.RESOURCE_EXHAUSTED, "SUMMARY_THROTTLED")
    assert len(caller.letters()) == MAX_AN_HOUR


async def test_an_address_that_is_not_verified_is_told_no_names(
    market: SmallMarket, auth: SmallAuth, caller: Caller
) -> None:
    auth.know("7", is_verified=False)
    await caller.enter(("AAPL", "2", "300"))
    await caller.send()
    (letter,) = caller.letters()
    for version in (part(letter, "plain"), part(letter, "html")):
        assert "yours</b>" not in version
        assert "Portfolio 1" in version


async def test_claims_end_with_their_hour_and_their_release_and_are_swept(settings: Settings, caller: Caller) -> None:
    async with Database.open(settings.database_url) as database:
        ledger = StoredSummaryLetters(database)

        async def count() -> int:
            async with database.reading() as connection:
                return int((await connection.execute(select(func.count()).select_from(SUMMARY_LETTERS))).scalar_one())

        claims = [
            await ledger.claim(str(number), ADDRESS, at=NOW + timedelta(minutes=number))
            for number in range(MAX_AN_HOUR)
        ]
        other = await ledger.claim("7", OTHER_ADDRESS, at=NOW)
        assert len({*claims, other}) == MAX_AN_HOUR + 1
        with pytest.raises(SummaryThrottled) as raised:
            await ledger.claim("7", ADDRESS, at=NOW + timedelta(minutes=10))
        assert raised.value.retry_after_seconds == 50 * 60
        await ledger.release(claims[3])
        await ledger.claim("7", ADDRESS, at=NOW + timedelta(minutes=10))
        await ledger.claim("7", ADDRESS, at=NOW + timedelta(minutes=60))
        assert await count() == MAX_AN_HOUR + 2
        assert await ledger.sweep(through=NOW) == 2
        assert await count() == MAX_AN_HOUR


async def test_what_was_counted_outlives_the_account_and_names_nobody(settings: Settings, caller: Caller) -> None:
    async with Database.open(settings.database_url) as database:
        ledger = StoredSummaryLetters(database)
        await ledger.claim("7", ADDRESS, at=NOW)
        await StoredAccounts(database).delete_account("7", through=NOW + timedelta(minutes=60))
        async with database.reading() as connection:
            ((_, *counted),) = (await connection.execute(select(SUMMARY_LETTERS))).all()
        assert counted == [ADDRESS, NOW]
        with pytest.raises(AccountDeleted):
            await ledger.claim("7", ADDRESS, at=NOW + timedelta(minutes=60))


async def test_accounts_of_one_address_claim_no_more_together_than_one(settings: Settings, caller: Caller) -> None:
    async with Database.open(settings.database_url) as database:
        ledger = StoredSummaryLetters(database)
        asking = [ledger.claim(str(user), ADDRESS, at=NOW) for user in range(2 * MAX_AN_HOUR)]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in answers].count(int) == MAX_AN_HOUR
        assert [type(each) for each in answers].count(SummaryThrottled) == MAX_AN_HOUR
