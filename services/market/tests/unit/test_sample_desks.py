from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import ManualClock
from market.domain.capabilities import Capability, NothingKnown
from market.domain.companies import MAX_PRICE_TARGETS, StatementKind
from market.domain.instruments import Exchange, Instrument
from market.domain.news import Article
from market.domain.treasury import MATURITIES
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.reference.listing import read_listing
from market.providers.sample.made_up import FIRMS, HOST, MARK, PEOPLE, PUBLISHER
from market.providers.sample.source import SampleSource

LISTING = read_listing()
IDS = ("NSE:TCS", "NASDAQ:AAPL", "NSE:M&M", "NASDAQ:QQQ", "INDEX:SP500", "FX:EURUSD")
SOME = [each for each in LISTING if each.instrument.id in IDS]
# A Tuesday evening in New York, an hour after the close, and Wednesday before dawn in India.
EVENING = datetime(2026, 1, 6, 22, 0, tzinfo=UTC)
NEW_YORK_CLOSES = datetime(2026, 1, 6, 21, 0, tzinfo=UTC)
NEW_YORK_OPENS = datetime(2026, 1, 7, 14, 30, tzinfo=UTC)
EXTENDED = timedelta(hours=2)

Make = Callable[..., SampleSource]


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(EVENING.date())


@pytest.fixture(scope="module")
def make(calendar: ExchangeCalendar) -> Make:
    def make(now: datetime = EVENING, *, seed: int = 7, always: bool = False) -> SampleSource:
        return SampleSource(SOME, calendar, ManualClock(now), seed=seed, tick_seconds=5.0, is_always_open=always)

    return make


@pytest.fixture(scope="module")
def source(make: Make) -> SampleSource:
    return make()


def of(source: SampleSource, instrument_id: str) -> Instrument:
    return next(each for each in source.instruments() if each.id == instrument_id)


@settings(max_examples=25)
@given(minutes=st.integers(0, 7 * 24 * 60))
async def test_the_last_trade_outside_a_session_is_recent_and_outside_it(
    make: Make, calendar: ExchangeCalendar, minutes: int
) -> None:
    now = EVENING + timedelta(minutes=minutes)
    source = make(now)
    trades = await source.after_market_trades(source.instruments())
    assert set(trades) == {"NSE:TCS", "NASDAQ:AAPL", "NSE:M&M", "NASDAQ:QQQ"}
    for instrument, trade in trades.items():
        times = source._history.times_of(of(source, instrument))
        sessions = zip(times.opens.tolist(), times.closes.tolist(), strict=True)
        at = int(trade.at.timestamp() * 1e6)
        window = int(EXTENDED / timedelta(microseconds=1))
        assert trade.at <= now
        assert now - trade.at < timedelta(days=5)
        assert any(opens - window <= at < opens or closes <= at < closes + window for opens, closes in sessions)
        bars = source.bars_at(of(source, instrument), trade.at, 1)
        assert trade.price == pytest.approx(bars.close[-1], rel=0.05)
        assert trade.size is not None
        assert trade.size >= 1


async def test_in_extended_hours_trades_move_on_and_between_them_they_rest(make: Make) -> None:
    async def at(now: datetime) -> datetime:
        source = make(now)
        return (await source.after_market_trades([of(source, "NASDAQ:AAPL")]))["NASDAQ:AAPL"].at

    assert timedelta(0) <= EVENING - await at(EVENING) < timedelta(seconds=5)
    in_the_night = await at(NEW_YORK_CLOSES + timedelta(hours=9))
    assert NEW_YORK_CLOSES + EXTENDED - timedelta(seconds=5) < in_the_night < NEW_YORK_CLOSES + EXTENDED
    assert await at(NEW_YORK_CLOSES + timedelta(hours=5)) == in_the_night
    before_dawn = NEW_YORK_OPENS - timedelta(minutes=30)
    assert before_dawn - await at(before_dawn) < timedelta(seconds=5)
    in_the_session = await at(NEW_YORK_OPENS + timedelta(hours=2))
    assert NEW_YORK_OPENS - timedelta(seconds=5) < in_the_session < NEW_YORK_OPENS


async def test_where_prices_never_rest_the_last_trade_is_the_quote(make: Make) -> None:
    source = make(always=True)
    shares = [of(source, "NASDAQ:AAPL"), of(source, "NASDAQ:QQQ")]
    trades, quotes = await source.after_market_trades(shares), await source.quotes(shares)
    for each in shares:
        assert trades[each.id].price == quotes[each.id].last_price
        assert trades[each.id].at == quotes[each.id].provenance.as_of


async def test_bid_and_offer_lie_around_the_last_trade(source: SampleSource) -> None:
    for instrument in ("NSE:TCS", "NASDAQ:AAPL"):
        quote = await source.after_market_quote(of(source, instrument))
        trade = (await source.after_market_trades([of(source, instrument)]))[instrument]
        assert quote.bid_price is not None
        assert quote.ask_price is not None
        assert quote.bid_price < trade.price < quote.ask_price
        assert (quote.ask_price - quote.bid_price) / trade.price < 0.005
        assert quote.at == trade.at
        assert (quote.bid_size or 0) > 0 < (quote.ask_size or 0)
    assert quote.volume is not None


async def test_volume_outside_the_session_grows_with_its_hours(make: Make) -> None:
    volumes = []
    for hours in (0.5, 1.5, 6, 17):
        source = make(NEW_YORK_CLOSES + timedelta(hours=hours))
        volumes.append((await source.after_market_quote(of(source, "NASDAQ:AAPL"))).volume or 0)
    assert volumes == sorted(set(volumes))
    assert volumes[0] > 0


async def test_nothing_is_traded_outside_sessions_that_never_were(make: Make) -> None:
    source = make(datetime(2022, 6, 1, tzinfo=UTC))
    assert await source.after_market_trades(source.instruments()) == {}
    with pytest.raises(NothingKnown):
        await source.after_market_quote(of(source, "NASDAQ:AAPL"))
    with pytest.raises(NothingKnown):
        await source.after_market_quote(of(source, "FX:EURUSD"))


@pytest.mark.parametrize("instrument", ["NSE:TCS", "NASDAQ:AAPL"])
async def test_targets_were_posted_at_the_days_close(source: SampleSource, instrument: str) -> None:
    share = of(source, instrument)
    targets = (await source.ratings(share)).price_targets
    bars = (await source.daily_history(share, date(2020, 1, 1), EVENING.date())).bars
    closes = dict(zip(bars.sessions.tolist(), bars.close.tolist(), strict=True))
    assert 30 <= len(targets) <= MAX_PRICE_TARGETS
    assert [each.published_at for each in targets] == sorted({each.published_at for each in targets}, reverse=True)
    assert len({each.news_url for each in targets}) == len(targets)
    for each in targets:
        assert each.published_at <= EVENING
        assert each.price_when_posted == closes[each.published_at.date()]
        assert each.price_target is not None
        assert 0.8 < each.price_target / closes[each.published_at.date()] < 1.35
        assert each.adj_price_target == each.price_target
        assert (each.news_title or "").startswith(MARK)
        assert (each.news_url or "").startswith(f"https://{HOST}/ratings/")
        assert each.analyst_name in PEOPLE
        assert each.analyst_company in FIRMS


async def test_a_target_that_was_set_stands(make: Make, source: SampleSource) -> None:
    later = make(EVENING + timedelta(days=20))
    before = (await source.ratings(of(source, "NSE:TCS"))).price_targets
    after = (await later.ratings(of(later, "NSE:TCS"))).price_targets
    new = [each for each in after if each.published_at > EVENING]
    assert after[len(new) :] == before[: len(after) - len(new)]


@pytest.mark.parametrize("seed", range(8))
async def test_the_consensus_is_what_most_recommend(make: Make, seed: int) -> None:
    source = make(seed=seed)
    said = (await source.ratings(of(source, "NSE:TCS"))).recommendation
    assert said is not None
    for_it, against = said.strong_buy + said.buy, said.sell + said.strong_sell
    assert said.hold > 0
    assert said.consensus in {"Strong Buy", "Buy", "Hold", "Sell", "Strong Sell"}
    assert for_it > against if said.consensus in {"Strong Buy", "Buy"} else for_it < 4 * (against + said.hold)


Page = Callable[[SampleSource, int, int], Coroutine[Any, Any, Sequence[Article]]]
STREAMS: dict[str, Page] = {
    "latest": lambda source, page, limit: source.latest_news(page=page, limit=limit),
    "share": lambda source, page, limit: source.stock_news(of(source, "NSE:M&M"), page=page, limit=limit),
    "press": lambda source, page, limit: source.press_releases(page=page, limit=limit),
}


@pytest.mark.parametrize("stream", STREAMS)
async def test_pages_follow_each_other_without_gap_or_overlap(source: SampleSource, stream: str) -> None:
    pages = [await STREAMS[stream](source, page, 50) for page in range(21)]
    assert {len(page) for page in pages} == {50}
    articles = [article for page in pages for article in page]
    assert len({each.url for each in articles}) == len(articles)
    assert all(later.published_at > earlier.published_at for later, earlier in pairwise(articles))
    assert articles[0].published_at <= EVENING
    small = [article for page in range(10) for article in await STREAMS[stream](source, page, 7)]
    assert small == articles[:70]


@pytest.mark.parametrize("stream", STREAMS)
async def test_every_article_says_that_it_is_made_up(source: SampleSource, stream: str) -> None:
    for each in await STREAMS[stream](source, 0, 50):
        assert each.title.startswith(MARK)
        assert "made this article up" in (each.text or "")
        assert (each.publisher, each.site) == (PUBLISHER, HOST)
        assert each.url.startswith(f"https://{HOST}/")
        assert (each.image or "").startswith(f"https://{HOST}/")
        assert "&" not in each.url


@settings(max_examples=20)
@given(minutes=st.integers(1, 5_000))
async def test_an_article_stays_as_it_was_published(make: Make, source: SampleSource, minutes: int) -> None:
    later = make(EVENING + timedelta(minutes=minutes))
    then = {each.url: each for each in await later.latest_news(page=0, limit=600)}
    now = {each.url: each for each in await source.latest_news(page=0, limit=50)}
    assert all(then[url] == article for url, article in now.items())
    assert all(each.published_at > EVENING for url, each in then.items() if url not in now) or len(then) == 600


async def test_the_archive_ends_where_the_sample_market_begins(make: Make, source: SampleSource) -> None:
    assert await source.latest_news(page=10**9, limit=50) == []
    assert len(await make(datetime(2023, 1, 1, 1, 0, tzinfo=UTC)).latest_news(page=0, limit=50)) <= 6
    assert await make(datetime(2022, 1, 1, tzinfo=UTC)).stock_news(of(source, "NSE:TCS"), page=0, limit=50) == []


async def test_news_of_an_instrument_are_about_it_and_some_of_the_latest_about_none(source: SampleSource) -> None:
    assert {each.symbol for each in await source.stock_news(of(source, "NSE:M&M"), page=0, limit=20)} == {"M&M"}
    subjects = {each.symbol for each in await source.latest_news(page=0, limit=50)}
    assert subjects == {None, "TCS", "AAPL", "M&M"}
    assert None not in {each.symbol for each in await source.press_releases(page=0, limit=50)}


async def test_the_curve_has_every_maturity_on_weekdays_and_moves_smoothly(source: SampleSource) -> None:
    rates = await source.treasury_rates(date(2010, 1, 1), EVENING.date())
    assert {frozenset(each.yields) for each in rates} == {frozenset(MATURITIES)}
    assert [each.on for each in rates] == sorted({each.on for each in rates})
    assert all(each.on.weekday() < 5 for each in rates)
    assert (rates[0].on, rates[-1].on) == (date(2010, 1, 1), date(2026, 1, 5))
    for earlier, later in pairwise(rates):
        assert max(abs(later.yields[each] - earlier.yields[each]) for each in MATURITIES) < 0.35
    for each in rates:
        curve = [each.yields[maturity] for maturity in MATURITIES]
        assert min(curve) > 0
        assert max(curve) < 9
        assert max(abs(short - long) for short, long in pairwise(curve)) < 1.0


async def test_yields_are_known_in_the_evening_of_their_day(make: Make) -> None:
    day = date(2026, 1, 6)
    assert await make(datetime(2026, 1, 6, 22, 59, tzinfo=UTC)).treasury_rates(day, day) == []
    assert len(await make(datetime(2026, 1, 6, 23, 0, tzinfo=UTC)).treasury_rates(day, day)) == 1
    assert await make().treasury_rates(date(2026, 1, 3), date(2026, 1, 4)) == []
    assert await make().treasury_rates(date(2026, 1, 2), date(2026, 1, 1)) == []


async def everything(source: SampleSource) -> list[object]:
    share, last = of(source, "NASDAQ:AAPL"), EVENING.date()
    history = await source.daily_history(share, date(2015, 1, 1), last)
    return [
        history.bars.close.tolist(),
        history.dividends,
        await source.intraday_bars(share, last, last),
        await source.profile(share),
        await source.quote_details([share]),
        *[await source.statements(share, kind, is_annual=False, limit=50) for kind in StatementKind],
        await source.ratings(share),
        await source.after_market_trades([share]),
        await source.after_market_quote(share),
        await source.earnings(last, last + timedelta(days=90)),
        await source.latest_news(page=1, limit=20),
        await source.stock_news(share, page=1, limit=20),
        await source.press_releases(page=1, limit=20),
        await source.treasury_rates(date(2025, 1, 1), last),
    ]


async def test_the_same_seed_answers_the_same_and_another_differs_in_everything(make: Make) -> None:
    one, again, other = [await everything(make(seed=seed)) for seed in (3, 3, 4)]
    assert one == again
    assert [index for index, (mine, theirs) in enumerate(zip(one, other, strict=True)) if mine == theirs] == []


def test_it_can_be_asked_everything(source: SampleSource) -> None:
    assert source.capabilities == frozenset(Capability)
    assert all(source.covers(each, of(source, "NASDAQ:AAPL")) for each in Capability)
    assert of(source, "NASDAQ:AAPL").exchange is Exchange.NASDAQ
