import asyncio
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chassis.clock import ManualClock
from market.domain.exchange_desk import ExchangeDesk, ExchangesEmpty, TooManyExchanges
from market.domain.exchanges import OTHER_NAMES, ExchangeFacts, ExchangeList, NoSuchExchange, hours_of
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory, InstrumentKind
from market.domain.sessions import KnownSessions, Session
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.calendars.world import WorldCalendars, read_sessions
from market.providers.reference.tables import read_exchanges

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # a Friday
LIST = ExchangeList(read_exchanges())
NASDAQ, NSE, TOKYO = LIST.find("NASDAQ"), LIST.find("NSE"), LIST.find("JPX")


def session(day: date, opens: str, closes: str, exchange: ExchangeFacts = NASDAQ) -> Session:
    moments = [datetime.fromisoformat(f"{day} {each}").replace(tzinfo=exchange.timezone) for each in (opens, closes)]
    return Session(day, *(each.astimezone(UTC) for each in moments))


def weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return [each for each in days if each.weekday() < 5]


def known(*sessions: Session) -> KnownSessions:
    return KnownSessions(NASDAQ.timezone, sessions, known_from=date(2026, 11, 2), known_through=date(2026, 12, 4))


HALF_DAY, HOLIDAY = date(2026, 11, 27), date(2026, 11, 26)
SESSIONS = known(
    *(
        session(day, "09:30", "13:00" if day == HALF_DAY else "16:00")
        for day in weekdays(date(2026, 11, 2), date(2026, 12, 4))
        if day != HOLIDAY
    )
)


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NASDAQ.timezone)


def test_an_open_exchange_says_today_s_hours_in_its_own_time() -> None:
    hours = hours_of(NASDAQ, SESSIONS, new_york("2026-11-20 10:00"))
    assert (hours.opening_hour, hours.closing_hour) == ("09:30 AM -05:00", "04:00 PM -05:00")
    assert (hours.is_open, hours.is_early_close) == (True, False)
    assert hours.session is not None
    assert hours.session.date == date(2026, 11, 20)
    assert hours.next_open == new_york("2026-11-23 09:30")
    assert hours.next_close == new_york("2026-11-20 16:00")


def test_after_its_close_today_s_hours_stand_until_midnight() -> None:
    hours = hours_of(NASDAQ, SESSIONS, new_york("2026-11-20 23:59"))
    assert hours.session is not None
    assert (hours.is_open, hours.session.date) == (False, date(2026, 11, 20))
    assert hours.next_close == new_york("2026-11-23 16:00")


@pytest.mark.parametrize("moment", ["2026-11-21 10:00", "2026-11-22 10:00", "2026-11-23 00:00"])
def test_a_day_without_a_session_shows_the_next_one(moment: str) -> None:
    hours = hours_of(NASDAQ, SESSIONS, new_york(moment))
    assert hours.session is not None
    assert (hours.is_open, hours.session.date) == (False, date(2026, 11, 23))


def test_a_half_day_closes_early() -> None:
    hours = hours_of(NASDAQ, SESSIONS, new_york("2026-11-26 10:00"))
    assert (hours.is_open, hours.is_early_close, hours.closing_hour) == (False, True, "01:00 PM -05:00")


def test_past_the_calendar_s_end_nothing_is_guessed() -> None:
    hours = hours_of(NASDAQ, SESSIONS, new_york("2026-12-05 00:00"))
    assert (hours.is_open, hours.session, hours.is_early_close, hours.next_open, hours.next_close) == (None,) * 5
    assert (hours.opening_hour, hours.closing_hour) == (None, None)


def test_after_the_last_session_it_is_closed_and_no_more_is_known() -> None:
    hours = hours_of(NASDAQ, known(session(date(2026, 11, 2), "09:30", "16:00")), new_york("2026-11-10 10:00"))
    assert (hours.is_open, hours.session, hours.is_early_close, hours.next_open, hours.next_close) == (
        False,
        *(None,) * 4,
    )


@pytest.mark.parametrize(
    ("moment", "shown"),
    [("2026-07-01 00:05", "12:05 AM -04:00"), ("2026-01-05 12:00", "12:00 PM -05:00")],
)
def test_midnight_and_noon_are_twelve_and_summer_time_shows(moment: str, shown: str) -> None:
    day = date.fromisoformat(moment[:10])
    sessions = KnownSessions(NASDAQ.timezone, [session(day, moment[11:], "23:00")], known_from=day, known_through=day)
    assert hours_of(NASDAQ, sessions, new_york(moment)).opening_hour == shown


def test_a_lunch_break_is_closed() -> None:
    day = date(2026, 11, 20)
    with_lunch = session(day, "09:00", "15:30", TOKYO)
    pauses, resumes = with_lunch.opens_at + timedelta(hours=2.5), with_lunch.opens_at + timedelta(hours=3.5)
    with_lunch = Session(day, with_lunch.opens_at, with_lunch.closes_at, pauses, resumes)
    sessions = KnownSessions(TOKYO.timezone, [with_lunch], known_from=day, known_through=day)
    moments = [pauses - timedelta(seconds=1), pauses, resumes - timedelta(seconds=1), resumes]
    assert [hours_of(TOKYO, sessions, each).is_open for each in moments] == [True, False, False, True]
    assert hours_of(TOKYO, sessions, pauses).next_close == with_lunch.closes_at


@pytest.mark.parametrize(
    ("written", "exchange"),
    [("nasdaq", "NASDAQ"), ("XNSE", "NSE"), ("hkex", "HKSE"), ("TSE", "JPX"), ("sse", "SHH"), ("b3", "B3")],
)
def test_an_exchange_is_found_by_its_names_in_any_case(written: str, exchange: str) -> None:
    assert LIST.find(written).exchange == exchange


@pytest.mark.parametrize("written", ["", "MOON", "INDEX", "FX", "NSE\n"])
def test_an_exchange_there_is_not_is_said(written: str) -> None:
    with pytest.raises(NoSuchExchange, match="it should be one of AMEX, ASX"):
        LIST.find(written)


def test_names_of_exchanges_do_not_collide() -> None:
    own = {each.exchange for each in LIST.exchanges}
    mics = {each.mic for each in LIST.exchanges}
    assert len(own) == len(mics) == len(LIST.exchanges) == 20
    assert not own & OTHER_NAMES.keys()
    assert set(OTHER_NAMES.values()) <= own
    for name, exchange in OTHER_NAMES.items():
        assert LIST.find(name).exchange == exchange


class FakeCalendars:
    """Knows the same sessions of every exchange."""

    async def sessions_of_exchange(self, exchange: ExchangeFacts) -> KnownSessions:
        return SESSIONS


def instrument(instrument_id: str, kind: InstrumentKind = InstrumentKind.EQUITY) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, kind, "USD")


@pytest.fixture
def desk() -> ExchangeDesk:
    directory = InstrumentDirectory(map(instrument, ["NSE:TCS", "NSE:INFY", "NASDAQ:AAPL", "INDEX:SP500"]))
    return ExchangeDesk(LIST, directory, calendars=FakeCalendars(), clock=ManualClock(NOW))


def test_exchanges_are_listed_by_name_with_the_number_of_their_instruments(desk: ExchangeDesk) -> None:
    described = {each.facts.exchange: each.instruments for each in desk.describe()}
    assert list(described) == sorted(described)
    assert (described["NSE"], described["NASDAQ"], described["LSE"]) == (2, 1, 0)


class SlowCalendars(FakeCalendars):
    """Takes for ever to read London's."""

    async def sessions_of_exchange(self, exchange: ExchangeFacts) -> KnownSessions:
        if exchange.exchange == "LSE":
            await asyncio.Event().wait()
        return SESSIONS


async def test_an_exchange_whose_calendar_is_still_being_read_has_no_hours_yet() -> None:
    desk = ExchangeDesk(
        LIST, InstrumentDirectory([]), calendars=SlowCalendars(), clock=ManualClock(NOW), patience_seconds=0.05
    )
    london, new_york = await desk.hours(["LSE", "NYSE"])
    assert (london.is_open, london.session, london.next_open) == (None, None, None)
    assert new_york.is_open is True
    await desk.close()


async def test_hours_come_in_the_order_asked_and_of_all_when_none_is_named(desk: ExchangeDesk) -> None:
    hours = await desk.hours(["nyse", "NSE", "XNYS"])
    assert [each.exchange.exchange for each in hours] == ["NYSE", "NSE"]
    assert [each.is_open for each in hours] == [True, True]
    assert len(await desk.hours([])) == len(LIST.exchanges)


def test_stocks_come_by_symbol_under_their_exchange(desk: ExchangeDesk) -> None:
    stocks = desk.stocks(["nse", "LSE", "XNSE"])
    assert {exchange: [each.symbol for each in listed] for exchange, listed in stocks.items()} == {
        "NSE": ["INFY", "TCS"],
        "LSE": [],
    }


def test_stocks_of_no_exchange_or_of_more_than_ten_are_refused(desk: ExchangeDesk) -> None:
    with pytest.raises(ExchangesEmpty):
        desk.stocks([])
    with pytest.raises(TooManyExchanges, match="11 exchanges"):
        desk.stocks(["NSE"] * 11)
    with pytest.raises(NoSuchExchange):
        desk.stocks(["INDEX"])


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(NOW.date())


@pytest.mark.parametrize("exchange", LIST.exchanges, ids=lambda exchange: exchange.exchange)
async def test_the_hours_of_every_exchange_are_known_this_year(
    calendar: ExchangeCalendar, exchange: ExchangeFacts
) -> None:
    hours = hours_of(exchange, await WorldCalendars(calendar, ManualClock(NOW)).sessions_of_exchange(exchange), NOW)
    assert hours.session is not None
    assert hours.session.date - NOW.date() <= timedelta(days=4)  # Tokyo has a holiday
    assert timedelta(hours=4) < hours.session.closes_at - hours.session.opens_at < timedelta(hours=9)
    opens_at = hours.session.opens_at.astimezone(exchange.timezone)
    assert 8 <= opens_at.hour <= 10
    assert (hours.next_open is None) is (hours.next_close is None) is False


async def test_a_calendar_is_read_once_however_many_ask(
    calendar: ExchangeCalendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def read(exchange: ExchangeFacts, first: date) -> KnownSessions:
        asked.append(exchange.exchange)
        return SESSIONS

    monkeypatch.setattr("market.providers.calendars.world.read_sessions", read)
    calendars = WorldCalendars(calendar, ManualClock(NOW))
    await calendars.warm(LIST.exchanges)
    await asyncio.gather(*(calendars.sessions_of_exchange(TOKYO) for _ in range(10)))
    # Shanghai and Shenzhen share one, and those of ours are there already.
    assert asked == ["ASX", "B3", "EURONEXT", "HKSE", "JPX", "KSC", "LSE", "SES", "SHH", *asked[9:]]
    assert sorted(asked) == sorted({*asked})
    assert not {"NSE", "BSE", "NASDAQ", "NYSE", "AMEX", "SHZ"} & {*asked}


def test_tokyo_pauses_for_lunch_and_the_library_s_end_is_known() -> None:
    sessions = read_sessions(TOKYO, date(2026, 11, 2))
    noon = datetime(2026, 11, 20, 12, 0, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert sessions.is_open_at(noon) is False
    assert sessions.is_open_at(noon + timedelta(hours=1)) is True
    assert sessions.is_open_at(datetime.combine(sessions.known_through, noon.timetz()) + timedelta(days=1)) is None
