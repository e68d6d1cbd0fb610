"""The made-up market that Yahoo's stand-in knows: real names, prices that depend on symbol and day alone.

Everything fits together: a day's bars of five minutes make its daily bar, the quote is the last of them, the figures of
52 weeks are those of the daily bars, quarters add up to years, and earnings a share make the ratio beside the price.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zlib import crc32
from zoneinfo import ZoneInfo

FIVE_MINUTES = timedelta(minutes=5)
DAY = timedelta(days=1)
# How far a bar reaches beyond its first and its last price.
ABOVE, BELOW = 1.0004, 0.9996


@dataclass(frozen=True, slots=True)
class Place:
    """Where something trades.

    Attributes:
        zone: its time zone's name.
        opens: the session's first moment.
        closes: the first moment after it.
        half_day_closes: the same on half days.
        before: when trading before the session begins; None where there is none.
        after: when trading after it ends.
        days_off: months and days without a session, besides weekends.
    """

    zone: str
    opens: time
    closes: time
    half_day_closes: time
    before: time | None = None
    after: time | None = None
    days_off: tuple[tuple[int, int], ...] = ()


NEW_YORK = Place(
    "America/New_York",
    time(9, 30),
    time(16),
    time(13),
    before=time(4),
    after=time(20),
    days_off=((1, 1), (6, 19), (7, 4), (12, 25)),
)
MUMBAI = Place("Asia/Kolkata", time(9, 15), time(15, 30), time(15, 30), days_off=((1, 26), (8, 15), (10, 2), (12, 25)))
LONDON = Place("Europe/London", time(0), time(23, 59), time(23, 59), days_off=((1, 1), (12, 25)))


@dataclass(frozen=True, slots=True)
class Session:
    """One day's trading."""

    day: date
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices of some time; `at` is when it begins."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True, slots=True)
class Issue:
    """One symbol.

    Attributes:
        level: what its price wanders around.
        splits: day, new and old units.
        dividend: each quarter, a share, as of now.
        delay_minutes: how late its prices come.
        fiscal_month: in which its fiscal years end; None for what has no statements.
        first_day: of trading.
        last_day: of trading; None while it goes on.
    """

    symbol: str
    name: str
    exchange: str
    exchange_name: str
    currency: str
    kind: str
    place: Place
    level: float
    splits: tuple[tuple[date, int, int], ...] = ()
    dividend: float = 0.0
    delay_minutes: int = 0
    fiscal_month: int | None = None
    shares: int = 0
    sector: str = ""
    industry: str = ""
    country: str = ""
    first_day: date = date(2012, 1, 3)
    last_day: date | None = None


def american(symbol: str, name: str, level: float, **more: object) -> Issue:
    """Make a share that is listed on NASDAQ."""
    arguments: dict[str, object] = {"fiscal_month": 12, "shares": 1_000_000_000, "sector": "Technology"}
    arguments |= {"industry": "Consumer Electronics", "country": "United States"} | more
    return Issue(symbol, name, "NMS", "NasdaqGS", "USD", "EQUITY", NEW_YORK, level, **arguments)  # type: ignore[arg-type]


def indian(symbol: str, name: str, level: float, **more: object) -> Issue:
    """Make a share that NSE or BSE lists, by its suffix."""
    codes = ("BSE", "BSE") if symbol.endswith(".BO") else ("NSI", "NSE")
    arguments: dict[str, object] = {"fiscal_month": 3, "shares": 3_600_000_000, "sector": "Technology"}
    arguments |= {"industry": "Information Technology Services", "country": "India", "delay_minutes": 15} | more
    return Issue(symbol, name, *codes, "INR", "EQUITY", MUMBAI, level, **arguments)  # type: ignore[arg-type]


def _index(symbol: str, name: str, level: float, place: Place = NEW_YORK, **more: object) -> Issue:
    codes = ("NSI", "NSE", "INR") if place is MUMBAI else ("CGI", "Cboe Indices", "USD")
    return Issue(symbol, name, *codes, "INDEX", place, level, **more)  # type: ignore[arg-type]


def _pair(symbol: str, name: str, currency: str, level: float) -> Issue:
    return Issue(symbol, name, "CCY", "CCY", currency, "CURRENCY", LONDON, level, first_day=date(2022, 1, 3))


ISSUES = (
    american(
        "AAPL",
        "Apple Inc.",
        228.0,
        splits=((date(2014, 6, 9), 7, 1), (date(2020, 8, 31), 4, 1)),
        dividend=0.26,
        fiscal_month=9,
        shares=14_800_000_000,
    ),
    american("MSFT", "Microsoft Corporation", 480.0, dividend=0.83, fiscal_month=6, shares=7_430_000_000),
    american("NVDA", "NVIDIA Corporation", 170.0, splits=((date(2024, 6, 10), 10, 1),), dividend=0.01, fiscal_month=1),
    indian("TCS.NS", "Tata Consultancy Services Limited", 3450.0, dividend=10.0, shares=3_618_000_000),
    indian("RELIANCE.NS", "Reliance Industries Limited", 1420.0, splits=((date(2024, 10, 28), 2, 1),), dividend=1.25),
    indian("HDFCBANK.BO", "HDFC Bank Limited", 990.0, splits=((date(2025, 8, 26), 2, 1),), dividend=5.5),
    _pair("EURUSD=X", "EUR/USD", "USD", 1.145),
    _pair("USDINR=X", "USD/INR", "INR", 85.6),
    _index("^GSPC", "S&P 500", 5900.0),
    _index("^NSEI", "NIFTY 50", 24000.0, MUMBAI, delay_minutes=15),
    _index("^IRX", "13 WEEK TREASURY BILL", 4.21),
    _index("^FVX", "Treasury Yield 5 Years", 3.98),
    _index("^TNX", "CBOE Interest Rate 10 Year T No", 4.32),
    _index("^TYX", "Treasury Yield 30 Years", 4.81),
    american("GONE", "Gone Corporation", 12.0, last_day=date(2022, 3, 11)),
)


class YahooMarket:
    """What there is to know at a moment.

    Args:
        issues: what it has.
        now: tells the time.
    """

    def __init__(
        self, issues: Sequence[Issue] = ISSUES, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.issues = {issue.symbol: issue for issue in issues}
        self.now = now

    def sessions(self, issue: Issue, first: date, last: date) -> Iterator[Session]:
        """Yield the sessions from `first` to `last` that have begun."""
        now = self.now()
        day = max(first, issue.first_day)
        while day <= min(last, issue.last_day or last):
            session = session_of(issue.place, day)
            if session is not None and session.opens_at <= now:
                yield session
            day += DAY

    def current_session(self, issue: Issue) -> Session:
        """Return the session that Yahoo calls current: today's, or the last one's when there is none."""
        day = self.now().astimezone(ZoneInfo(issue.place.zone)).date()
        while (session := session_of(issue.place, day)) is None:
            day -= DAY
        return session

    def is_open(self, issue: Issue) -> bool:
        """Say whether a session runs."""
        session = self.current_session(issue)
        return session.opens_at <= self.now() < session.closes_at

    def days(self, issue: Issue, first: date, last: date) -> Iterator[Bar]:
        """Yield the bars of days; that of a running session is as far as it has come."""
        now = self.now()
        for session in self.sessions(issue, first, last):
            if session.closes_at <= now:
                yield _whole_day(issue, session)
            elif parts := [each for each in fives(issue, session) if each.at + FIVE_MINUTES <= now]:
                yield _joined(parts, session.opens_at)

    def fives(self, issue: Issue, first: date, last: date) -> Iterator[Bar]:
        """Yield the bars of five minutes that have begun."""
        now = self.now()
        for session in self.sessions(issue, first, last):
            yield from (each for each in fives(issue, session) if each.at <= now)


@cache
def session_of(place: Place, day: date) -> Session | None:
    """Return a day's session; None when there is none."""
    if day.weekday() >= 5 or (day.month, day.day) in place.days_off or _is_thanksgiving(place, day):
        return None
    is_half = place is NEW_YORK and (_is_thanksgiving(place, day - DAY) or (day.month, day.day) == (12, 24))
    zone = ZoneInfo(place.zone)
    closes = place.half_day_closes if is_half else place.closes
    return Session(
        day,
        datetime.combine(day, place.opens, zone).astimezone(UTC),
        datetime.combine(day, closes, zone).astimezone(UTC),
    )


def _is_thanksgiving(place: Place, day: date) -> bool:
    return place is NEW_YORK and day.month == 11 and day.weekday() == 3 and 22 <= day.day <= 28


def close_of(issue: Issue, day: date) -> float:
    """Return a day's last price, adjusted for all splits."""
    phase = crc32(issue.symbol.encode()) % 1000 / 1000
    since = (day - date(2020, 1, 1)).days
    swing = 0.09 * math.sin(since / 97 + 6 * phase) + 0.04 * math.sin(since / 23 + 3 * phase)
    return _tidy(issue, issue.level * math.exp(swing + 0.01 * _noise(issue, day)))


def _noise(issue: Issue, day: date, salt: str = "") -> float:
    """Return a number from -1 to 1 that looks like chance."""
    return crc32(f"{issue.symbol} {day} {salt}".encode()) / 2**31 - 1


def _tidy(issue: Issue, price: float) -> float:
    return round(price, 4 if issue.kind == "CURRENCY" or issue.level < 20 else 2)


@cache
def _whole_day(issue: Issue, session: Session) -> Bar:
    """Return a finished session's bar, which is that of its parts; all of a share's days have to be made quickly."""
    path = _path(issue, session)
    high, low = _tidy(issue, max(path) * ABOVE), _tidy(issue, min(path) * BELOW)
    return Bar(session.opens_at, path[0], high, low, path[-1], _volume(issue, session) * (len(path) - 1))


def _joined(parts: Sequence[Bar], at: datetime) -> Bar:
    return Bar(
        at,
        parts[0].open,
        max(each.high for each in parts),
        min(each.low for each in parts),
        parts[-1].close,
        sum(each.volume for each in parts),
    )


@lru_cache(maxsize=100)
def fives(issue: Issue, session: Session) -> tuple[Bar, ...]:
    """Return a session's bars of five minutes, which lead from its first price to its last."""
    path, volume = _path(issue, session), _volume(issue, session)
    return tuple(
        Bar(
            session.opens_at + step * FIVE_MINUTES,
            path[step],
            _tidy(issue, max(path[step : step + 2]) * ABOVE),
            _tidy(issue, min(path[step : step + 2]) * BELOW),
            path[step + 1],
            volume,
        )
        for step in range(len(path) - 1)
    )


def _path(issue: Issue, session: Session) -> list[float]:
    """Return the prices at the bounds of a session's five minutes."""
    count = math.ceil((session.closes_at - session.opens_at) / FIVE_MINUTES)
    open_ = _tidy(issue, close_of(issue, session.day - DAY) * (1 + 0.004 * _noise(issue, session.day, "open")))
    close = close_of(issue, session.day)
    angle = math.pi * (1 + abs(_noise(issue, session.day, "waves")) * 3) / count
    step_up, wave = (close - open_) / count, open_ * 0.003
    between = (open_ + step_up * step + wave * math.sin(angle * step) for step in range(1, count))
    return [open_, *(_tidy(issue, price) for price in between), close]


def _volume(issue: Issue, session: Session) -> int:
    return 0 if issue.kind == "CURRENCY" else 20_000 + crc32(f"{issue.symbol}{session.day}".encode()) % 30_000


def dividend_days(issue: Issue, first: date, last: date) -> Iterator[date]:
    """Yield the days on which a share begins to trade without a dividend."""
    if not issue.dividend:
        return
    for year in range(first.year, last.year + 1):
        for month in (2, 5, 8, 11):
            day = date(year, month, 10)
            while session_of(issue.place, day) is None:
                day += DAY
            if max(first, issue.first_day) <= day <= last:
                yield day


def quarter_ends(issue: Issue, today: date, count: int) -> Sequence[date]:
    """Return the last days of the newest quarters that were reported, a month after their end, newest first."""
    if issue.fiscal_month is None:
        return []
    ends: list[date] = []
    year, month = today.year, today.month
    while len(ends) < count:
        if (month - issue.fiscal_month) % 3 == 0:
            end = date(year + month // 12, month % 12 + 1, 1) - DAY
            if end + timedelta(days=30) <= today:
                ends.append(end)
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return ends
