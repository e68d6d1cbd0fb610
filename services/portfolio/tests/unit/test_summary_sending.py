import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chassis.clock import ManualClock
from chassis.errors import Code, DatabaseUnavailable, ServiceError
from mail.messages import Letter
from portfolio.domain import summary_sending
from portfolio.domain.contacts import Contact, EmailUnverified, SummaryUnwanted, UserNotFound
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.stock_entries import Stock
from portfolio.domain.summaries import PricesUnavailable, Summary, summarise
from portfolio.domain.summary_reading import held_units, instruments_in
from portfolio.domain.summary_sending import (
    HOUR,
    SWEEP_EVERY_SECONDS,
    SentSummary,
    SummariesBusy,
    SummaryDesk,
    SummaryThrottled,
)
from portfolio.domain.users import UserIdInvalid
from portfolio.domain.value_series import HeldUnits

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
CONTACT = Contact("asha@example.com", is_email_verified=False, wants_summary=True, unsubscribe_token="t")


class World:
    """Auth, the ledger, the reader, the writer and the post, all in memory."""

    def __init__(self) -> None:
        self.contact: Contact | None = CONTACT
        self.claims: list[int] = []
        self.addresses: set[str] = set()
        self.swept: list[datetime] = []
        self.sent: list[Letter] = []
        self.failure: ServiceError | None = None
        self.refusal: ServiceError | None = None
        self.is_ledger_away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def contact_of(self, user_id: str) -> Contact:
        if self.contact is None:
            raise UserNotFound
        return self.contact

    async def claim(self, user_id: str, address_digest: str, *, at: datetime) -> int:
        if len(self.claims) == 6:
            raise SummaryThrottled(61.0)
        self.addresses.add(address_digest)
        self.claims.append(len(self.claims))
        return self.claims[-1]

    async def release(self, claim_id: int) -> None:
        if self.is_ledger_away:
            raise DatabaseUnavailable
        self.claims.remove(claim_id)

    async def sweep(self, *, through: datetime) -> int:
        self.swept.append(through)
        if self.is_ledger_away:
            raise DatabaseUnavailable
        return 0

    async def read(self, user_id: str) -> Summary:
        if self.failure is not None:
            raise self.failure
        return summarise([], [], QuoteAnswer({}, frozenset()), at=NOW)

    def write(self, summary: Summary, contact: Contact, letter_id: str) -> Letter:
        return Letter(letter_id, contact.email, "Summary", "text", summary.at)

    async def send(self, letter: Letter) -> None:
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(letter)


@pytest.fixture
def world() -> World:
    return World()


def desk_of(world: World, *, verified_only: bool = False, clock: ManualClock | None = None) -> SummaryDesk:
    return SummaryDesk(
        world,
        world,
        reader=world,  # type: ignore[arg-type]  # it reads
        writer=world,
        post=world,
        clock=clock or ManualClock(NOW),
        random=lambda: f"r{len(world.claims)}",
        verified_only=verified_only,
    )


async def test_each_summary_is_a_letter_of_its_own_to_the_users_address(world: World) -> None:
    desk = desk_of(world)
    sent = [await desk.send("7"), await desk.send("7"), await desk.send("a/b \N{SNOWMAN}" + "x" * 200)]
    assert sent[0] == SentSummary("summary-7-r0", NOW)
    assert [each.id for each in world.sent] == ["summary-7-r0", "summary-7-r1", f"summary-a-b--{'x' * 35}-r2"]
    assert {each.to for each in world.sent} == {"asha@example.com"}


async def test_an_address_is_counted_by_the_digest_of_its_lower_case(world: World) -> None:
    desk = desk_of(world)
    await desk.send("7")
    world.contact = replace(CONTACT, email="Asha@Example.COM")
    await desk.send("8")
    assert world.addresses == {hashlib.sha256(b"asha@example.com").hexdigest()}


async def test_what_counts_no_more_is_swept_again_and_again(world: World) -> None:
    clock = ManualClock(NOW)
    sweeping = asyncio.create_task(desk_of(world, clock=clock).run_sweep())
    world.is_ledger_away = True
    await asyncio.sleep(0)
    for _ in range(2):
        await clock.advance(SWEEP_EVERY_SECONDS)
    sweeping.cancel()
    every = timedelta(seconds=SWEEP_EVERY_SECONDS)
    assert world.swept == [NOW + every - HOUR, NOW + 2 * every - HOUR]


async def test_who_is_not_to_be_written_to_is_not(world: World) -> None:
    with pytest.raises(EmailUnverified):
        await desk_of(world, verified_only=True).send("7")
    world.contact = replace(CONTACT, wants_summary=False, is_email_verified=True)
    with pytest.raises(SummaryUnwanted):
        await desk_of(world, verified_only=True).send("7")
    world.contact = None
    with pytest.raises(UserNotFound):
        await desk_of(world).send("7")
    with pytest.raises(UserIdInvalid):
        await desk_of(world).send("")
    assert (world.sent, world.claims) == ([], [])
    world.contact = replace(CONTACT, is_email_verified=True)
    await desk_of(world, verified_only=True).send("7")
    assert len(world.sent) == 1


async def test_the_seventh_of_an_hour_is_refused_with_when_to_come_back(world: World) -> None:
    desk = desk_of(world)
    for _ in range(6):
        await desk.send("7")
    with pytest.raises(SummaryThrottled, match="at most 6 times an hour; try again in 1 min") as raised:
        await desk.send("7")
    assert (raised.value.retry_after_seconds, raised.value.code) == (61.0, Code.RESOURCE_EXHAUSTED)
    assert SummaryThrottled(-3.0).retry_after_seconds == 1.0
    assert len(world.sent) == 6


async def test_what_could_not_be_gathered_does_not_count_and_what_was_handed_over_does(world: World) -> None:
    world.failure = PricesUnavailable()
    with pytest.raises(PricesUnavailable):
        await desk_of(world).send("7")
    assert world.claims == []
    world.is_ledger_away = True
    with pytest.raises(PricesUnavailable):
        await desk_of(world).send("7")
    world.failure, world.refusal = None, ServiceError("not taken")
    with pytest.raises(ServiceError, match="not taken"):
        await desk_of(world).send("7")
    assert len(world.claims) == 2


async def handed_over(world: World, count: int = 1) -> None:
    while len(world.claims) < count:
        await asyncio.sleep(0)


async def test_who_leaves_does_not_stop_the_mail(world: World) -> None:
    world.gate.clear()
    desk = desk_of(world)
    asking = asyncio.create_task(desk.send("7"))
    await handed_over(world)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    world.gate.set()
    await desk.finish(20.0)
    assert len(world.sent) == 1


async def test_a_refusal_that_nobody_waits_for_is_not_complained_of(world: World) -> None:
    world.gate.clear()
    world.refusal = ServiceError("not taken")
    desk = desk_of(world)
    asking = asyncio.create_task(desk.send("7"))
    await handed_over(world)
    asking.cancel()
    world.gate.set()
    await desk.finish(20.0)
    assert world.sent == []


async def test_the_end_does_not_wait_for_ever(world: World) -> None:
    world.gate.clear()
    desk = desk_of(world)
    asking = asyncio.create_task(desk.send("7"))
    await handed_over(world)
    await desk.finish(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asking
    await desk.finish(0.01)
    assert world.sent == []


async def test_no_more_are_under_way_than_can_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_sending, "MAX_UNDER_WAY", 1)
    world.gate.clear()
    desk = desk_of(world)
    first = asyncio.create_task(desk.send("7"))
    await handed_over(world)
    with pytest.raises(SummariesBusy, match="too many"):
        await desk.send("8")
    assert desk.under_way == 1
    world.gate.set()
    await first
    await desk.send("8")
    assert len(world.sent) == 2


def test_of_several_portfolios_an_instrument_is_one_and_the_dearest_come_first() -> None:
    def stocks(*entries: tuple[str, str]) -> Sequence[Stock]:
        return tuple(Stock(name, name, Decimal(quantity), Decimal(1)) for name, quantity in entries)

    first = ManualPortfolio(1, "One", tuple(stocks(("NSE:A", "1"), ("NSE:GONE", "5"), ("NASDAQ:B", "2"))))
    second = ManualPortfolio(2, "Two", tuple(stocks(("NSE:A", "0.5"))))
    provenance = Provenance("yahoo", NOW, Freshness.LIVE)
    quotes = {
        "NSE:A": Quote(Decimal(10), None, provenance),
        "NASDAQ:B": Quote(Decimal(9), None, provenance, "USD"),
    }
    assert instruments_in([first, second]) == ["NSE:A", "NSE:GONE", "NASDAQ:B"]
    assert held_units([first, second], QuoteAnswer(quotes, frozenset())) == [
        HeldUnits("NASDAQ:B", "USD", Decimal(2), Decimal(18)),
        HeldUnits("NSE:A", "INR", Decimal("1.5"), Decimal(15)),
    ]
