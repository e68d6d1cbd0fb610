"""Each day's open, high, low, close and volume of every instrument.

The logarithm of a price wanders around its listed level and is drawn back to it (an AR(1) process); the day's step is
shared in part with the venue and the sector, so that sectors move together. The process runs through every calendar
day, whether or not it is a trading day: prices then depend on seed and date alone, not on a calendar's version.

What lies before FIRST_DAY is made an instrument at a time, when it is asked for: the same process, which looks alike in
both directions of time, runs backwards from there, along a trend that grows to the listed level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt

from market.domain.instruments import InstrumentKind
from market.domain.sessions import venue_of
from market.providers.reference.listing import Listed
from market.providers.sample.noise import Floats, Hashes, Purpose, hashed, key_of, normal, uniform

FIRST_DAY = date(2023, 1, 1)
FIRST_PAST_DAY = date(2010, 1, 1)
PAST_DAYS = (FIRST_DAY - FIRST_PAST_DAY).days
DAYS_OF_YEAR = 365.25
SATURDAY = 5

PERSISTENCE = 0.985  # of yesterday's distance from the listed level; it halves in about 45 days
WEEKEND_SHARE = 0.3  # of a weekday's step
OVERNIGHT_SHARE = 0.3  # of a day's step lies between the close before and the open
REACH = 0.45  # of the day's volatility, times a draw, that high and low reach past open and close
VENUE_WEIGHT, SECTOR_WEIGHT, COMPANY_WEIGHT = 0.55, 0.45, 0.70  # their squares add up to one

DAILY_VOLATILITY = {
    InstrumentKind.EQUITY: 0.016,
    InstrumentKind.FUND: 0.010,
    InstrumentKind.INDEX: 0.009,
    InstrumentKind.CURRENCY_PAIR: 0.0045,
}
TURNOVER_OF_CURRENCY = {"INR": 1.5e9, "USD": 6e8}
# How much the trend grows a year before FIRST_DAY, in logarithms.
GROWTH_OF_KIND = {
    InstrumentKind.EQUITY: (0.02, 0.13),
    InstrumentKind.FUND: (0.04, 0.09),
    InstrumentKind.INDEX: (0.06, 0.10),
    InstrumentKind.CURRENCY_PAIR: (0.0, 0.0),
}
KINDS_WITH_VOLUME = (InstrumentKind.EQUITY, InstrumentKind.FUND)

Steps = npt.NDArray[np.int32]
Units = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DailyPrices:
    """Bars as arrays of shape [days since FIRST_DAY, instruments], prices in price steps.

    Attributes:
        open: first prices, as are high, low and close.
        high: highest prices.
        low: lowest prices.
        close: last prices.
        volume: units traded; 0 for what has no volume.
        volatility: each instrument's standard deviation of a day's logarithmic step, shape [instruments].
    """

    open: Steps
    high: Steps
    low: Steps
    close: Steps
    volume: Units
    volatility: Floats

    @classmethod
    def make(cls, listing: Sequence[Listed], seed: int, last_day: date) -> Self:
        """Make the bars of every day from FIRST_DAY to `last_day`."""
        days = np.arange((last_day - FIRST_DAY).days + 1)
        volatility = _volatilities(listing, seed)
        steps = _daily_steps(listing, seed, days) * volatility * _weights_of_days(days)[:, None]
        level = _wander(steps)
        before = np.vstack([np.zeros((1, len(listing))), level[:-1]]) * PERSISTENCE
        listed = np.array([each.price * each.steps_per_unit for each in listing])
        first, last = listed * np.exp(before + OVERNIGHT_SHARE * steps), listed * np.exp(level)
        return cls._around(first, last, _Drawn.make(listing, seed, seed, days))

    @classmethod
    def make_past(cls, listing: Sequence[Listed], seed: int) -> Self:
        """Make the bars of every day from FIRST_PAST_DAY, row 0, to the last before FIRST_DAY."""
        past = hashed(seed, Purpose.PAST)
        days_back = np.arange(1, PAST_DAYS + 1)
        steps = _daily_steps(listing, past, days_back) * _volatilities(listing, seed)
        backwards = _wander(steps * _weights_of_days(-days_back)[:, None])
        level = np.vstack([np.zeros((1, len(listing))), backwards])[::-1]
        before, level = level[:-1] * PERSISTENCE, level[1:]
        days_back = days_back[::-1]
        trend = -growths_of(listing, seed) * (days_back / DAYS_OF_YEAR)[:, None]
        listed = np.array([each.price * each.steps_per_unit for each in listing]) * np.exp(trend)
        first, last = listed * np.exp(before + OVERNIGHT_SHARE * (level - before)), listed * np.exp(level)
        return cls._around(first, last, _Drawn.make(listing, seed, past, days_back))

    @classmethod
    def _around(cls, first: Floats, last: Floats, drawn: "_Drawn") -> Self:
        """Make bars from what they open and close at, not yet rounded."""
        reach = REACH * drawn.volatility
        return cls(
            open=_rounded(first),
            high=_rounded(np.maximum(first, last) * np.exp(reach * drawn.up)),
            low=_rounded(np.minimum(first, last) * np.exp(-reach * drawn.down)),
            close=_rounded(last),
            volume=drawn.volume,
            volatility=drawn.volatility,
        )

    @property
    def last_day(self) -> date:
        """Return the last day there is a bar for."""
        return FIRST_DAY + timedelta(days=len(self.close) - 1)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a bar has beside open and close: how far it reaches past them, in days' volatilities, and its volume."""

    up: Floats
    down: Floats
    volume: Units
    volatility: Floats

    @classmethod
    def make(cls, listing: Sequence[Listed], seed: int, stream: int | Hashes, days: npt.NDArray[np.int64]) -> Self:
        """Draw from `stream` what differs from day to day, and from `seed` what does not."""
        ids = np.array([key_of(each.instrument.id) for each in listing])
        return cls(
            up=np.abs(normal(_draws(stream, days, ids, Purpose.HIGH))),
            down=np.abs(normal(_draws(stream, days, ids, Purpose.LOW))),
            volume=_volumes(listing, _draws(stream, days, ids, Purpose.VOLUME), seed),
            volatility=_volatilities(listing, seed),
        )


def day_number(day: date) -> int:
    """Return the row of a day in `DailyPrices`; negative before FIRST_DAY."""
    return (day - FIRST_DAY).days


def company_of(listed: Listed) -> str:
    """Return what moves an instrument's price: a company listed on NSE and BSE has one value."""
    instrument = listed.instrument
    return f"{instrument.currency} {instrument.kind} {instrument.symbol}"


def growths_of(listing: Sequence[Listed], seed: int) -> Floats:
    """Return how much the trend of each instrument grows in a year, in logarithms."""
    companies = np.array([key_of(company_of(each)) for each in listing])
    least, most = np.array([GROWTH_OF_KIND[each.instrument.kind] for each in listing]).T
    growths: Floats = least + (most - least) * uniform(hashed(seed, Purpose.GROWTH, companies))
    return growths


def _draws(seed: int | Hashes, days: npt.NDArray[np.int64], keys: Hashes, purpose: Purpose) -> Hashes:
    return hashed(hashed(seed, purpose, days)[:, None], keys[None, :])


def _daily_steps(listing: Sequence[Listed], seed: int | Hashes, days: npt.NDArray[np.int64]) -> Floats:
    """Return each day's steps in units of the instrument's own volatility, shape [days, instruments]."""
    companies = np.array([key_of(company_of(each)) for each in listing])
    own = normal(_draws(seed, days, companies, Purpose.COMPANY_RETURN))
    venue = _shared(seed, days, [venue_of(each.instrument) for each in listing], Purpose.VENUE_RETURN)
    sectors = [f"{each.instrument.currency} {each.instrument.sector}" for each in listing]
    sector = _shared(seed, days, sectors, Purpose.SECTOR_RETURN)
    mixed = VENUE_WEIGHT * venue + SECTOR_WEIGHT * sector + COMPANY_WEIGHT * own
    kinds = np.array([each.instrument.kind for each in listing])
    is_index, is_pair = kinds == InstrumentKind.INDEX, kinds == InstrumentKind.CURRENCY_PAIR
    index = 0.9 * venue + np.sqrt(1 - 0.9**2) * own
    return np.where(is_index, index, np.where(is_pair, own, mixed))


def _shared(seed: int | Hashes, days: npt.NDArray[np.int64], names: Sequence[str], purpose: Purpose) -> Floats:
    distinct = sorted(set(names))
    drawn = normal(_draws(seed, days, np.array([key_of(name) for name in distinct]), purpose))
    columns: Floats = drawn[:, [distinct.index(name) for name in names]]
    return columns


def _volatilities(listing: Sequence[Listed], seed: int) -> Floats:
    companies = np.array([key_of(company_of(each)) for each in listing])
    of_kind = np.array([DAILY_VOLATILITY[each.instrument.kind] for each in listing])
    return of_kind * (0.75 + 0.5 * uniform(hashed(seed, Purpose.VOLATILITY, companies)))


def _weights_of_days(days: npt.NDArray[np.int64]) -> Floats:
    weekdays = (days + FIRST_DAY.weekday()) % 7
    return np.where(weekdays < SATURDAY, 1.0, WEEKEND_SHARE)


def _wander(steps: Floats) -> Floats:
    level = np.empty_like(steps)
    current = np.zeros(steps.shape[1])
    for day, step in enumerate(steps):
        current = PERSISTENCE * current + step
        level[day] = current
    return level


def _volumes(listing: Sequence[Listed], draws: Hashes, seed: int) -> Units:
    companies = np.array([key_of(company_of(each)) for each in listing])
    size = np.exp(0.8 * normal(hashed(seed, Purpose.TURNOVER, companies)))
    turnover = np.array([TURNOVER_OF_CURRENCY.get(each.instrument.currency, 0.0) for each in listing])
    has_volume = np.array([each.instrument.kind in KINDS_WITH_VOLUME for each in listing])
    usual = np.where(has_volume, turnover * size / np.array([each.price for each in listing]), 0.0)
    volumes: Units = np.rint(usual * np.exp(0.35 * normal(draws))).astype(np.int64)
    return volumes


def _rounded(prices: Floats) -> Steps:
    return np.maximum(np.rint(prices), 1.0).astype(np.int32)
