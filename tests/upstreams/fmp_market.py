"""The market that the stand-in for Financial Modeling Prep tells of: a dozen symbols whose prices follow from the date.

Nothing is stored and nothing is random: a price is a sum of waves over the number of its day, so that every answer
agrees with every other one, whoever asks when. Prices are adjusted for splits, as the vendor's are.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from itertools import pairwise
from statistics import fmean
from zoneinfo import ZoneInfo

BAR_MINUTES = 5
FIRST_DAY = date(2005, 1, 3)
EVERY_YEAR = {(1, 1), (12, 25)}
THURSDAY = 3


class Place(Enum):
    """Where something trades: its clock, its hours, the holidays it has beside New Year's Day and Christmas."""

    NEW_YORK = ("America/New_York", time(9, 30), time(16, 0), frozenset({(7, 4)}))
    MUMBAI = ("Asia/Kolkata", time(9, 15), time(15, 30), frozenset({(1, 26), (8, 15)}))
    EVERYWHERE = ("America/New_York", time(0, 0), time(23, 55), frozenset[tuple[int, int]]())

    @property
    def timezone(self) -> ZoneInfo:
        """Return its clock."""
        return ZoneInfo(self.value[0])

    def trades_on(self, day: date) -> bool:
        """Say whether there is a session."""
        return day.weekday() < 5 and (day.month, day.day) not in EVERY_YEAR | self.value[3]

    def hours(self, day: date) -> tuple[datetime, datetime]:
        """Return when a session begins and ends, by the place's clock; the day after Thanksgiving ends at one."""
        _, opens, closes, _ = self.value
        if self is Place.NEW_YORK and day - timedelta(days=1) == _thanksgiving(day.year):
            closes = time(13, 0)
        return datetime.combine(day, opens), datetime.combine(day, closes)


def _thanksgiving(year: int) -> date:
    first = date(year, 11, 1)
    return first + timedelta(days=(THURSDAY - first.weekday()) % 7 + 21)


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices and units of a stretch of time; `begins` is a day, or a moment by the place's clock."""

    begins: date
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One symbol.

    Attributes:
        symbol: as the vendor writes it.
        price: what its price moves around.
        shares: how many there are; 0 for what has none.
        splits: ex-date, new units, old units; newest first.
        dividend: money a share every quarter, before the splits since; 0 for none.
        last_day: the last session of what is listed no longer.
        decimals: how fine its price is.
    """

    symbol: str
    name: str
    price: float
    currency: str
    exchange: str
    place: Place
    shares: int = 0
    sector: str | None = None
    splits: Sequence[tuple[date, int, int]] = ()
    dividend: float = 0.0
    last_day: date | None = None
    decimals: int = 2

    @property
    def is_company(self) -> bool:
        """Say whether there are shares."""
        return self.shares > 0

    @property
    def phase(self) -> int:
        """Return what keeps its waves apart from those of others."""
        return sum(map(ord, self.symbol))

    def sessions(self, first: date, last: date) -> list[date]:
        """Return its sessions between two dates, both with, oldest first."""
        first, last = max(first, FIRST_DAY), min(last, self.last_day or last)
        days = (first + timedelta(days=index) for index in range((last - first).days + 1))
        return [day for day in days if self.place.trades_on(day)]

    def close(self, day: date) -> float:
        """Return the close of a session."""
        angle = day.toordinal() + self.phase
        waves = 0.18 * math.sin(angle / 170) + 0.06 * math.sin(angle / 19) + 0.012 * math.sin(angle * 1.7)
        return round(self.price * (1 + waves), self.decimals)

    def previous_close(self, day: date) -> float:
        """Return the close of the session before; the first session has its own."""
        return self.close([day, *self.sessions(day - timedelta(days=9), day - timedelta(days=1))][-1])

    def whole_bar(self, day: date) -> Bar:
        """Return a session from its first moment to its last."""
        angle = day.toordinal() + self.phase
        opened = round(self.previous_close(day) * (1 + 0.003 * math.sin(angle * 3.1)), self.decimals)
        closed = self.close(day)
        high = round(max(opened, closed) * (1.001 + 0.006 * abs(math.sin(angle))), self.decimals)
        low = round(min(opened, closed) * (0.999 - 0.006 * abs(math.cos(angle))), self.decimals)
        volume = int((self.shares or 4_000_000) * 0.004 * (1 + 0.4 * math.sin(angle / 5)))
        return Bar(day, opened, high, low, closed, volume)

    def intraday_bars(self, day: date) -> list[Bar]:
        """Return a session in parts of five minutes: up to its high, down to its low, and to its close."""
        whole, (opens, closes) = self.whole_bar(day), self.place.hours(day)
        count = int((closes - opens).total_seconds()) // (60 * BAR_MINUTES)
        prices = list(self._way(whole, count))
        volume, rest = divmod(whole.volume, count)
        return [
            Bar(
                opens + timedelta(minutes=BAR_MINUTES * index),
                begin,
                max(begin, end),
                min(begin, end),
                end,
                volume + (rest if index == count - 1 else 0),
            )
            for index, (begin, end) in enumerate(pairwise(prices))
        ]

    def _way(self, whole: Bar, count: int) -> Iterator[float]:
        corners = [(0, whole.open), (count // 3, whole.high), (2 * count // 3, whole.low), (count, whole.close)]
        for (begin, price), (end, next_price) in pairwise(corners):
            for index in range(begin, end):
                yield round(price + (next_price - price) * (index - begin) / (end - begin), self.decimals)
        yield whole.close


@dataclass(frozen=True, slots=True)
class Standing:
    """How a symbol stands at a moment: its newest session as far as it has come, and when that was."""

    bar: Bar
    as_of: datetime
    previous_close: float
    year_high: float
    year_low: float
    mean_50: float
    mean_200: float


def standing(listed: Listed, now: datetime) -> Standing | None:
    """Return how a symbol stands; None for what is listed no longer."""
    if listed.last_day is not None and listed.last_day < now.date() - timedelta(days=9):
        return None
    bar, as_of = _newest(listed, now)
    day = bar.begins
    year = [listed.whole_bar(each) for each in listed.sessions(day - timedelta(days=365), day - timedelta(days=1))]
    closes = [each.close for each in year] + [bar.close]
    return Standing(
        bar=bar,
        as_of=as_of,
        previous_close=listed.previous_close(day),
        year_high=max([each.high for each in year] + [bar.high]),
        year_low=min([each.low for each in year] + [bar.low]),
        mean_50=round(fmean(closes[-50:]), 4),
        mean_200=round(fmean(closes[-200:]), 4),
    )


def daily_bars(listed: Listed, first: date, last: date, now: datetime) -> list[Bar]:
    """Return its sessions, newest first, with the one that runs as far as it has come."""
    newest, _ = _newest(listed, now)
    days = listed.sessions(first, min(last, newest.begins))
    return [newest if day == newest.begins else listed.whole_bar(day) for day in reversed(days)]


def intraday_bars(listed: Listed, first: date, last: date, now: datetime) -> list[Bar]:
    """Return its parts of five minutes that have begun, newest first."""
    here = now.astimezone(listed.place.timezone).replace(tzinfo=None)
    bars = [bar for day in listed.sessions(first, min(last, here.date())) for bar in listed.intraday_bars(day)]
    return [bar for bar in reversed(bars) if bar.begins <= here]


def _newest(listed: Listed, now: datetime) -> tuple[Bar, datetime]:
    """Return the newest session that has begun, as far as it has come, and the moment of its last price."""
    here = now.astimezone(listed.place.timezone).replace(tzinfo=None)
    last = listed.last_day or here.date()
    begun = [day for day in listed.sessions(last - timedelta(days=9), last) if listed.place.hours(day)[0] <= here]
    day = begun[-1]
    _, closes = listed.place.hours(day)
    as_of = min(here, closes).replace(tzinfo=listed.place.timezone).astimezone(UTC)
    if here >= closes:
        return listed.whole_bar(day), as_of
    parts = [bar for bar in listed.intraday_bars(day) if bar.begins <= here]
    bar = Bar(
        day,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
    )
    return bar, as_of


LISTED = (
    Listed("AAPL", "Apple Inc.", 231.5, "USD", "NASDAQ", Place.NEW_YORK, 15_000_000_000, "Technology",
           splits=((date(2020, 8, 31), 4, 1), (date(2014, 6, 9), 7, 1)), dividend=0.25),
    Listed("MSFT", "Microsoft Corporation", 415.0, "USD", "NASDAQ", Place.NEW_YORK, 7_430_000_000, "Technology",
           dividend=0.75),
    Listed("NVDA", "NVIDIA Corporation", 132.0, "USD", "NASDAQ", Place.NEW_YORK, 24_500_000_000, "Technology",
           splits=((date(2024, 6, 10), 10, 1), (date(2021, 7, 20), 4, 1)), dividend=0.01),
    Listed("BRK-B", "Berkshire Hathaway Inc.", 460.0, "USD", "NYSE", Place.NEW_YORK, 1_320_000_000,
           "Financial Services"),
    Listed("TWTR", "Twitter, Inc.", 53.7, "USD", "NYSE", Place.NEW_YORK, 765_000_000, "Communication Services",
           last_day=date(2022, 10, 27)),
    Listed("TCS.NS", "Tata Consultancy Services Limited", 3850.0, "INR", "NSE", Place.MUMBAI, 3_618_000_000,
           "Technology", splits=((date(2018, 5, 31), 2, 1),), dividend=10.0),
    Listed("RELIANCE.NS", "Reliance Industries Limited", 1290.0, "INR", "NSE", Place.MUMBAI, 13_532_000_000, "Energy",
           splits=((date(2024, 10, 28), 2, 1), (date(2017, 9, 7), 2, 1)), dividend=2.5),
    Listed("HDFCBANK.BO", "HDFC Bank Limited", 1725.0, "INR", "BSE", Place.MUMBAI, 7_640_000_000,
           "Financial Services", dividend=4.9),
    Listed("EURUSD", "EUR/USD", 1.085, "USD", "FOREX", Place.EVERYWHERE, decimals=5),
    Listed("USDINR", "USD/INR", 84.1, "INR", "FOREX", Place.EVERYWHERE, decimals=4),
    Listed("^GSPC", "S&P 500", 5900.0, "USD", "INDEX", Place.NEW_YORK),
    Listed("^NSEI", "NIFTY 50", 24200.0, "INR", "INDEX", Place.MUMBAI),
)  # fmt: skip
BY_SYMBOL = {listed.symbol: listed for listed in LISTED}
