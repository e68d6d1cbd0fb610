import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import ManualClock
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Freshness
from market.domain.ticks import Tick, shard_of
from market.providers.replay.parse import (
    Bar,
    ReplayFileInvalid,
    ReplayFileUnreadable,
    instruments_of,
    parse_bars,
    read_bars,
)
from market.providers.replay.source import ReplaySource
from market.providers.replay.tape import make_tape

HEADER = "symbol,timestamp,open,high,low,close,volume"
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def bar(instrument: str, at: datetime, prices: str, volume: int = 100) -> Bar:
    first, high, low, last = (Decimal(each) for each in prices.split())
    return Bar(instrument, at, first, high, low, last, volume)


def source_of(
    bars: Sequence[Bar], speed: float | None = None, *, held: bool = False
) -> tuple[ReplaySource, ManualClock]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    return ReplaySource(bars, {}, clock, speed=speed, is_held=held), clock


def prices(ticks: Sequence[Tick]) -> list[float]:
    return [tick.last_price for tick in ticks]


async def everything(source: ReplaySource) -> list[Tick]:
    return [tick for ticks in [each async for each in source.slices()] for tick in ticks]


async def begin(source: ReplaySource) -> "asyncio.Task[list[Tick]]":
    playing = asyncio.create_task(everything(source))
    await asyncio.sleep(0)
    return playing


# --- the file


def test_a_file_is_read_with_dates_and_times_in_its_own_order() -> None:
    bars = parse_bars(
        [
            HEADER,
            "nasdaq:aapl,2000-03-01,118.56,132.06,118.5,130.31,38478000",
            "",
            "NSE:M&M,2024-01-02T09:15:00+05:30,1,2,0.5,1.5,0",
        ]
    )
    assert bars == [
        bar("NASDAQ:AAPL", datetime(2000, 3, 1, tzinfo=UTC), "118.56 132.06 118.5 130.31", 38478000),
        bar("NSE:M&M", datetime(2024, 1, 2, 3, 45, tzinfo=UTC), "1 2 0.5 1.5", 0),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("NASDAQ:AAPL,2024-01-01,1,2,1,1", "it has 6 cells; it should have 7"),
        ("NASDAQ:AAPL,2024-01-01,1,2,1,1,5,6", "it has 8 cells"),
        ("AAPL,2024-01-01,1,2,1,1,5", "'AAPL' is not a symbol: its exchange is none of NSE"),
        ("MOON:AAPL,2024-01-01,1,2,1,1,5", "'MOON:AAPL' is not a symbol: its exchange is none of NSE"),
        ("NASDAQ:A PL,2024-01-01,1,2,1,1,5", "'NASDAQ:A PL' is not a symbol"),
        (",2024-01-01,1,2,1,1,5", "it is empty"),
        ("NASDAQ:AAPL,yesterday,1,2,1,1,5", "'yesterday' is neither a date nor a time"),
        ("NASDAQ:AAPL,2024-02-30,1,2,1,1,5", "'2024-02-30' is neither a date nor a time"),
        ("NASDAQ:AAPL,0001-01-01T00:00:00+05:30,1,2,1,1,5", "is not between 1900 and 2199"),
        ("NASDAQ:AAPL,1899-12-31,1,2,1,1,5", "is not between 1900 and 2199"),
        ("NASDAQ:AAPL,2200-01-01T00:00:00Z,1,2,1,1,5", "is not between 1900 and 2199"),
        ("NASDAQ:AAPL,2024-01-01T10:00:00,1,2,1,1,5", "does not say its offset from UTC"),
        ("NASDAQ:AAPL,2024-01-01,one,2,1,1,5", "open 'one' is not a number above 0"),
        ("NASDAQ:AAPL,2024-01-01,0,2,1,1,5", "open '0' is not a number above 0"),
        ("NASDAQ:AAPL,2024-01-01,-1,2,1,1,5", "open '-1' is not"),
        ("NASDAQ:AAPL,2024-01-01,1,NaN,1,1,5", "high 'NaN' is not"),
        ("NASDAQ:AAPL,2024-01-01,1,Infinity,1,1,5", "high 'Infinity' is not"),
        ("NASDAQ:AAPL,2024-01-01,1,1000000000,1,1,5", "high '1000000000' is not"),
        ("NASDAQ:AAPL,2024-01-01,1,2,,1,5", "low '' is not"),
        ("NASDAQ:AAPL,2024-01-01,1,2,1,3,5", "open 1 and close 3 are not within 1 to 2"),
        ("NASDAQ:AAPL,2024-01-01,1,2,1.5,2,5", "open 1 and close 2 are not within 1.5 to 2"),
        ("NASDAQ:AAPL,2024-01-01,1,2,1,1,-5", "volume '-5' is not a whole number"),
        ("NASDAQ:AAPL,2024-01-01,1,2,1,1,1.5", "volume '1.5' is not a whole number"),
        ('NASDAQ:AAPL,"2024-01-01,1,2,1,1,5', "it is not CSV"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line_and_what_is_wrong(row: str, problem: str) -> None:
    with pytest.raises(ReplayFileInvalid, match=r"the replay file's line 3 is not usable") as raised:
        parse_bars([f"{HEADER}\n", "NYSE:IBM,2024-01-01,1,2,1,1,5\n", f"{row}\n"])
    assert problem in str(raised.value)
    assert raised.value.line == 3


@pytest.mark.parametrize(
    "header", ["", "symbol,open", HEADER + ",extra", "symbol;timestamp;open;high;low;close;volume"]
)
def test_a_wrong_header_is_refused(header: str) -> None:
    with pytest.raises(ReplayFileInvalid, match=r"line 1 is not usable: the columns are .* should be symbol,"):
        parse_bars([header])


def test_no_lines_at_all_are_refused() -> None:
    with pytest.raises(ReplayFileInvalid, match="the columns are nothing"):
        parse_bars([])


@pytest.mark.parametrize("apart", [timedelta(0), timedelta(seconds=3)])
def test_bars_of_one_instrument_may_not_overlap(apart: timedelta) -> None:
    later = (MONDAY + apart).isoformat()
    rows = [f"NYSE:IBM,{later},1,2,1,1,5", "NYSE:GE,2024-01-01,1,2,1,1,5", "NYSE:IBM,2024-01-01,1,2,1,1,5"]
    with pytest.raises(ReplayFileInvalid, match="NYSE:IBM already has a bar at 2024-01-01"):
        parse_bars([HEADER, *rows])


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayFileUnreadable, match="No such file"):
        read_bars(tmp_path / "absent.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReplayFileUnreadable, match="not UTF-8"):
        read_bars(binary)


def test_instruments_are_described_as_known_or_as_their_exchange_implies() -> None:
    apple = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple Inc.", InstrumentKind.EQUITY, "USD", "Technology")
    ids = ["NASDAQ:AAPL", "NASDAQ:FB", "NSE:X", "FX:EURINR", "FX:ODD", "INDEX:MINE", "NASDAQ:FB"]
    found = instruments_of([bar(each, MONDAY, "1 1 1 1") for each in ids], {apple.id: apple})
    assert found[0] is apple
    assert [(each.id, each.name, each.kind, each.currency) for each in found[1:]] == [
        ("NASDAQ:FB", "FB", InstrumentKind.EQUITY, "USD"),
        ("NSE:X", "X", InstrumentKind.EQUITY, "INR"),
        ("FX:EURINR", "EURINR", InstrumentKind.CURRENCY_PAIR, "INR"),
        ("FX:ODD", "ODD", InstrumentKind.CURRENCY_PAIR, "XXX"),
        ("INDEX:MINE", "MINE", InstrumentKind.INDEX, "XXX"),
    ]


# --- the tape


@pytest.mark.parametrize(
    ("prices_of_bar", "expected"),
    [
        ("10 15 9 12", [10.0, 9.0, 15.0, 12.0]),  # the low is nearer
        ("10 11 5 6", [10.0, 11.0, 5.0, 6.0]),  # the high is nearer
        ("10 12 8 9", [10.0, 8.0, 12.0, 9.0]),  # a tie: the low first
        ("0.3 0.4 0.2 0.3", [0.3, 0.2, 0.4, 0.3]),  # a tie that binary fractions would not see
        ("7 7 7 7", [7.0, 7.0, 7.0, 7.0]),
    ],
)
def test_a_bar_becomes_open_nearer_extreme_other_extreme_close(prices_of_bar: str, expected: list[float]) -> None:
    ticks = [each.tick for (each,) in make_tape([bar("NYSE:IBM", MONDAY, prices_of_bar)])]
    assert prices(ticks) == expected
    assert [tick.at - MONDAY for tick in ticks] == [timedelta(seconds=second) for second in range(4)]
    assert [tick.volume for tick in ticks] == [25, 50, 75, 100]


def test_the_previous_close_is_the_bar_before_s_by_time() -> None:
    bars = [
        bar("NYSE:IBM", MONDAY + DAY, "2 2 2 2"),
        bar("NYSE:IBM", MONDAY, "1 1 1 1"),
        bar("NYSE:GE", MONDAY + DAY, "9 9 9 9"),
    ]
    ticks = [each.tick for part in make_tape(bars) for each in part]
    closes = [(tick.instrument, tick.previous_close) for tick in ticks]
    assert closes[:4] == [("NYSE:IBM", None)] * 4
    assert closes[4:] == [("NYSE:IBM", 1.0), ("NYSE:GE", None)] * 4


BARS = st.lists(
    st.tuples(st.sampled_from(["NYSE:A", "NYSE:B", "NYSE:C"]), st.integers(0, 40)), unique=True, max_size=12
).map(
    lambda places: [
        bar(name, MONDAY + timedelta(seconds=2 * place), f"{place + 2} {place + 3} {place + 1} {place + 2}")
        for name, place in places
        if place % 2 == 0
    ]
)


@given(BARS)
def test_ticks_go_by_time_then_by_the_file_and_none_is_lost(bars: list[Bar]) -> None:
    tape = make_tape(bars)
    order = {each.instrument + each.at.isoformat(): number for number, each in enumerate(bars)}
    played = [each for part in tape for each in part]
    keys = [
        (each.tick.at_microseconds, order[each.bar.instrument + each.bar.at.isoformat()], each.place) for each in played
    ]
    assert keys == sorted(keys)
    assert len(set(keys)) == 4 * len(bars)
    moments = [{each.tick.at_microseconds for each in part} for part in tape]
    assert all(len(moment) == 1 for moment in moments)
    assert len({next(iter(moment)) for moment in moments}) == len(tape)


# --- the source

WEEK = [
    bar("NASDAQ:AAPL", MONDAY, "10 15 9 12", 400),
    bar("NYSE:IBM", MONDAY, "100 101 99 100"),
    bar("NASDAQ:AAPL", MONDAY + DAY, "13 14 12 12.5", 80),
]


async def test_at_full_speed_every_distinct_time_is_one_slice() -> None:
    source, _ = source_of(WEEK)
    slices = [each async for each in source.slices()]
    assert [len(each) for each in slices] == [2, 2, 2, 2, 1, 1, 1, 1]
    assert not source.is_paced
    assert source.freshness is Freshness.SIMULATED


async def test_a_held_replay_waits_for_its_start_without_prices() -> None:
    source, _ = source_of(WEEK, held=True)
    playing = asyncio.create_task(everything(source))
    await asyncio.sleep(0)
    assert not playing.done()
    assert await source.quotes(source.instruments()) == {}
    source.start()
    assert len(await playing) == 12


async def test_a_quote_is_the_current_bar_so_far() -> None:
    source, clock = source_of(WEEK, speed=1.0)
    playing = await begin(source)
    await clock.advance(2.0)
    quotes = await source.quotes(source.instruments())
    apple = quotes["NASDAQ:AAPL"]
    assert (apple.last_price, apple.open, apple.high, apple.low) == (15.0, 10.0, 15.0, 9.0)
    assert (apple.previous_close, apple.volume) == (None, 300)
    assert apple.provenance.source == "replay"
    assert apple.provenance.freshness is Freshness.SIMULATED
    assert apple.provenance.as_of == MONDAY + timedelta(seconds=2)
    await clock.advance(DAY.total_seconds())
    apple = (await source.quotes(source.instruments()))["NASDAQ:AAPL"]
    assert (apple.last_price, apple.open, apple.high, apple.low, apple.previous_close) == (14.0, 13.0, 14.0, 12.0, 12.0)
    await clock.advance(5.0)
    assert len(await playing) == 12


@pytest.mark.parametrize("speed", [0.5, 1.0, 3600.0, 1e9])
async def test_at_any_speed_the_ticks_are_the_same(speed: float) -> None:
    source, clock = source_of(WEEK, speed=speed)
    playing = asyncio.create_task(everything(source))
    while not playing.done():
        await clock.advance(0.02 if speed > 1e6 else DAY.total_seconds() / speed / 50)
    fast, _ = source_of(WEEK)
    assert await playing == await everything(fast)
    assert clock.monotonic() >= (DAY.total_seconds() + 3) / speed


async def test_daily_bars_never_look_ahead() -> None:
    intraday = [
        bar("NYSE:IBM", MONDAY + timedelta(hours=10), "1 3 1 2"),
        bar("NYSE:IBM", MONDAY + timedelta(hours=11), "2 5 0.5 4"),
        bar("NYSE:IBM", MONDAY + DAY, "4 4 4 4"),
    ]
    source, clock = source_of(intraday, speed=1.0)
    ibm = source.instruments()
    assert [len(each) for each in await source.daily_bars(ibm, count=5)] == [0]
    playing = await begin(source)
    await clock.advance(3700.0)
    assert [len(each) for each in await source.daily_bars(ibm, count=5)] == [0]
    await clock.advance(14 * 3600.0 - 3700.0)
    (finished,) = await source.daily_bars(ibm, count=5)
    assert finished.last_session == date(2024, 1, 1)
    assert (finished.open[0], finished.high[0], finished.low[0], finished.close[0]) == (1.0, 5.0, 0.5, 4.0)
    assert finished.volume is not None
    assert finished.volume[0] == 200
    await clock.advance(3600.0)
    await playing
    assert [len(each) for each in await source.daily_bars(ibm, count=5)] == [2]
    assert [len(each) for each in await source.daily_bars(ibm, count=1)] == [1]


def test_the_summary_counts_what_is_there() -> None:
    source, _ = source_of(WEEK)
    summary = source.summary
    assert (summary.bars, summary.ticks) == (3, 12)
    assert (summary.first_tick_at, summary.last_tick_at) == (MONDAY, MONDAY + DAY + timedelta(seconds=3))


@pytest.mark.parametrize("speed", [None, 1.0])
async def test_an_empty_replay_ends_at_once(speed: float | None) -> None:
    source, _ = source_of([], speed)
    assert await everything(source) == []
    assert source.summary.first_tick_at is None
    assert source.instruments() == []


def test_its_configuration_tells_files_apart() -> None:
    assert source_of(WEEK)[0].configuration == source_of(list(WEEK), 2.0)[0].configuration
    assert source_of(WEEK)[0].configuration != source_of(WEEK[:2])[0].configuration


# --- replicas


async def test_who_follows_shows_what_was_played_elsewhere() -> None:
    leader, _ = source_of(WEEK, held=True)
    follower, _ = source_of(WEEK, held=True)
    leader.start()
    instruments = leader.instruments()
    async for ticks in leader.slices():
        for tick in ticks:
            follower.follow(shard_of(tick.instrument), tick.at_microseconds)
        assert await follower.quotes(instruments) == await leader.quotes(instruments)
        days, expected = [await each.daily_bars(instruments, count=9) for each in (follower, leader)]
        assert list(map(len, days)) == list(map(len, expected))
    follower.end()
    assert [len(each) for each in await follower.daily_bars(instruments, count=9)] == [2, 1]
    assert await everything(follower) == []


@pytest.mark.parametrize("speed", [None, 1e9])
@pytest.mark.parametrize("sent", range(13))
async def test_who_takes_over_sends_every_tick_that_was_not_sent_and_no_other(sent: int, speed: float | None) -> None:
    ticks = await everything(source_of(WEEK)[0])
    follower, clock = source_of(WEEK, speed)
    for tick in ticks[:sent]:
        follower.follow(shard_of(tick.instrument), tick.at_microseconds)
    playing = asyncio.create_task(everything(follower))
    while not playing.done():
        await clock.advance(0.02)
    assert await playing == ticks[sent:]


async def test_who_leads_again_goes_on_where_both_have_come_to() -> None:
    ticks = await everything(source_of(WEEK)[0])
    source, _ = source_of(WEEK)
    played: list[Tick] = []
    async with aclosing(source.slices()) as slices:
        async for slice_of_ticks in slices:
            if len(played) == 4:
                break  # this slice was not sent
            played += slice_of_ticks
    assert played == ticks[:4]
    for tick in ticks[4:7]:
        source.follow(shard_of(tick.instrument), tick.at_microseconds)
    assert await everything(source) == ticks[7:]


async def test_a_replay_from_before_1970_is_followed_too() -> None:
    bars = [bar("NYSE:IBM", datetime(1962, 1, 2, tzinfo=UTC), "1 3 1 2")]
    ticks = await everything(source_of(bars)[0])
    follower, _ = source_of(bars)
    assert ticks[0].at_microseconds < 0
    follower.follow(shard_of("NYSE:IBM"), ticks[1].at_microseconds)
    assert await everything(follower) == ticks[2:]
