from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chassis.clock import ManualClock
from market.domain.answer_desk import AnswerDesk
from market.domain.capabilities import Capability
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.lives import Lives, prices_until
from market.domain.ports import Calendar
from market.domain.sessions import Venue
from market.providers.calendars.exchanges import load_calendar

NEW_YORK, MUMBAI = ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
APPLE = Instrument("NASDAQ:AAPL", Exchange.NASDAQ, "AAPL", "Apple", InstrumentKind.EQUITY, "USD")
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS", InstrumentKind.EQUITY, "INR")
EURO = Instrument("FX:EURUSD", Exchange.FX, "EURUSD", "Euro", InstrumentKind.CURRENCY_PAIR, "USD")
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PRICES = [Capability.QUOTES, Capability.QUOTE_DETAILS]
AFTER_MARKET = [Capability.AFTER_MARKET_TRADES, Capability.AFTER_MARKET_QUOTES]


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return load_calendar(date(2026, 1, 5))


def life_at(
    calendar: Calendar, capability: Capability, now: datetime, instrument: Instrument | None = APPLE
) -> timedelta:
    """Return how long an answer of `now` serves."""
    life = Lives(calendar, ManualClock(now)).life_of(capability, instrument)
    assert life.stands_in_until > life.serves_until > now
    return life.serves_until - now


def in_new_york(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=NEW_YORK)


def in_mumbai(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=MUMBAI)


MONDAY = date(2026, 1, 5)
SATURDAY = date(2026, 1, 10)
THANKSGIVING, HALF_DAY = date(2026, 11, 26), date(2026, 11, 27)
LAST_KNOWN_DAY_OF_INDIA = date(2026, 12, 31)


@pytest.mark.parametrize(
    ("capability", "life"),
    [
        (Capability.DAILY_HISTORY, HOUR),
        (Capability.PROFILES, DAY),
        (Capability.STATEMENTS, DAY),
        (Capability.RATINGS, DAY),
        (Capability.DIVIDENDS, 7 * DAY),
        (Capability.NEWS, 15 * MINUTE),
        (Capability.STOCK_NEWS, 15 * MINUTE),
        (Capability.PRESS_RELEASES, 15 * MINUTE),
        (Capability.EARNINGS, HOUR),
        (Capability.TREASURY, HOUR),
    ],
)
@pytest.mark.parametrize("now", [in_new_york(MONDAY, 12), in_new_york(SATURDAY, 12)])
def test_what_is_no_price_lives_as_long_at_any_hour(
    calendar: Calendar, capability: Capability, life: timedelta, now: datetime
) -> None:
    assert life_at(calendar, capability, now) == life


@pytest.mark.parametrize("capability", PRICES)
@pytest.mark.parametrize(
    ("now", "life"),
    [
        (in_new_york(MONDAY, 9, 29), MINUTE),  # no price of a closed market serves into the session
        (in_new_york(MONDAY, 9, 30), 30 * SECOND),
        (in_new_york(MONDAY, 15, 59, 59), 30 * SECOND),
        (in_new_york(MONDAY, 16), 5 * MINUTE),
        (in_new_york(SATURDAY, 12), 5 * MINUTE),
        (in_new_york(THANKSGIVING, 12), 5 * MINUTE),
        (in_new_york(HALF_DAY, 12, 59), 30 * SECOND),
        (in_new_york(HALF_DAY, 13), 5 * MINUTE),
        # Clocks went forward on 8 March: the same hour in UTC was before the opening on Friday.
        (datetime(2026, 3, 6, 13, 45, tzinfo=UTC), 5 * MINUTE),
        (datetime(2026, 3, 9, 13, 45, tzinfo=UTC), 30 * SECOND),
        # Beyond what the calendar knows the market is taken to trade.
        (in_new_york(date(2031, 1, 4), 12), 30 * SECOND),
    ],
)
def test_prices_live_thirty_seconds_in_hours_and_five_minutes_outside(
    calendar: Calendar, capability: Capability, now: datetime, life: timedelta
) -> None:
    assert life_at(calendar, capability, now) == life


@pytest.mark.parametrize(
    ("instrument", "now", "life"),
    [
        (TCS, in_mumbai(MONDAY, 9, 15), 30 * SECOND),
        (TCS, in_mumbai(MONDAY, 15, 30), 5 * MINUTE),
        (TCS, in_mumbai(date(2026, 1, 26), 12), 5 * MINUTE),  # Republic Day
        (TCS, in_mumbai(LAST_KNOWN_DAY_OF_INDIA, 20), 5 * MINUTE),
        (TCS, in_mumbai(LAST_KNOWN_DAY_OF_INDIA + DAY, 20), 30 * SECOND),
        (EURO, in_new_york(MONDAY, 23), 30 * SECOND),
        (EURO, in_new_york(SATURDAY, 12), 5 * MINUTE),
        (None, in_new_york(MONDAY, 12), 30 * SECOND),
    ],
)
def test_each_venue_has_its_own_hours(
    calendar: Calendar, instrument: Instrument | None, now: datetime, life: timedelta
) -> None:
    assert life_at(calendar, Capability.QUOTE_DETAILS, now, instrument) == life


@pytest.mark.parametrize(
    ("now", "life"),
    [
        (in_new_york(MONDAY, 12), 5 * MINUTE),
        (in_new_york(MONDAY, 9), 30 * MINUTE),
        (in_new_york(MONDAY, 16), HOUR),
        (in_new_york(date(2031, 1, 4), 12), 5 * MINUTE),
    ],
)
def test_bars_of_a_running_session_live_five_minutes_of_their_hour(
    calendar: Calendar, now: datetime, life: timedelta
) -> None:
    assert life_at(calendar, Capability.INTRADAY_BARS, now) == life


@pytest.mark.parametrize("capability", AFTER_MARKET)
@pytest.mark.parametrize(
    ("now", "until"),
    [
        (in_new_york(MONDAY, 7, 29, 59), in_new_york(MONDAY, 7, 30, 9)),
        (in_new_york(MONDAY, 7, 30), in_new_york(MONDAY, 7, 30, 10)),
        (in_new_york(MONDAY, 12), in_new_york(MONDAY, 12, 0, 10)),
        (in_new_york(MONDAY, 17, 59, 59), in_new_york(MONDAY, 18, 0, 9)),
        (in_new_york(MONDAY, 18), in_new_york(MONDAY + DAY, 7, 30)),
        (in_new_york(date(2026, 1, 9), 18), in_new_york(date(2026, 1, 12), 7, 30)),  # over the weekend
        (in_new_york(THANKSGIVING, 12), in_new_york(HALF_DAY, 7, 30)),
        (in_new_york(HALF_DAY, 14, 59), in_new_york(HALF_DAY, 14, 59, 10)),
        (in_new_york(HALF_DAY, 15), in_new_york(date(2026, 11, 30), 7, 30)),
        (in_new_york(date(2026, 3, 6), 18), in_new_york(date(2026, 3, 9), 7, 30)),  # clocks go forward
        (in_new_york(date(2026, 10, 30), 18), in_new_york(date(2026, 11, 2), 7, 30)),  # clocks go back
        (in_new_york(date(2031, 1, 4), 12), in_new_york(date(2031, 1, 4), 12, 0, 10)),  # nobody knows
    ],
)
def test_after_market_prices_live_ten_seconds_in_extended_hours_and_until_the_next(
    calendar: Calendar, capability: Capability, now: datetime, until: datetime
) -> None:
    # Moments of one zone are subtracted as wall-clock times, which are an hour off where clocks change.
    utc = now.astimezone(UTC)
    assert life_at(calendar, capability, utc) == until.astimezone(UTC) - utc


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (in_mumbai(MONDAY, 17, 29), in_mumbai(MONDAY, 17, 29) + 10 * SECOND),
        (in_mumbai(MONDAY, 17, 30), in_mumbai(MONDAY + DAY, 7, 15)),
        (in_mumbai(LAST_KNOWN_DAY_OF_INDIA, 20), in_mumbai(LAST_KNOWN_DAY_OF_INDIA, 20) + 10 * SECOND),
    ],
)
def test_india_has_extended_hours_of_its_own(calendar: Calendar, now: datetime, until: datetime) -> None:
    assert life_at(calendar, Capability.AFTER_MARKET_TRADES, now, TCS) == until - now


def test_no_price_of_a_closed_market_serves_into_a_session(calendar: Calendar) -> None:
    sessions = calendar.sessions_of(Venue.UNITED_STATES)
    for minutes in range(14 * 24 * 60):
        now = datetime(2026, 1, 5, tzinfo=UTC) + minutes * MINUTE
        opens_at = sessions.next_open(now)
        assert opens_at is not None
        until = prices_until(sessions, now)
        assert now < until <= (now + 30 * SECOND if sessions.is_open_at(now) else opens_at)


@pytest.mark.parametrize("capability", Capability)
async def test_a_source_is_asked_again_when_the_life_ends_and_not_before(
    calendar: Calendar, capability: Capability
) -> None:
    for now in (in_new_york(MONDAY, 12), in_new_york(SATURDAY, 12)):
        clock = ManualClock(now)
        source = CountingSource(capability)
        lives = Lives(calendar, clock)
        answers = AnswerDesk([source], clock, lives=lives).answers(capability, None)
        life = lives.life_of(capability, APPLE).serves_until - clock.now()
        for advance, asked in ((0.0, 1), (life.total_seconds() - 0.001, 1), (0.001, 2)):
            await clock.advance(advance)
            await answers.one("key", CountingSource.ask, instrument=APPLE)
            assert source.asked == asked


class CountingSource:
    """Counts how often it is asked."""

    name = "source"
    is_simulated = False

    def __init__(self, capability: Capability) -> None:
        self.capabilities = frozenset({capability})
        self.asked = 0

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return capability in self.capabilities and instrument == APPLE

    async def ask(self) -> int:
        self.asked += 1
        return self.asked
