"""What the sample market's made-up companies are like, and when their fiscal quarters end.

A company is the same wherever it is listed. Everything here is drawn once a company; `books` makes figures of it.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np

from market.domain.sessions import TIMEZONE_OF_VENUE, venue_of
from market.providers.reference.listing import Listed
from market.providers.sample.daily import TURNOVER_OF_CURRENCY, company_of, growths_of
from market.providers.sample.hours import SATURDAY
from market.providers.sample.noise import Purpose, hashed, key_of, normal, uniform

FIRST_FISCAL_YEAR = 2010
QUARTERS_OF_YEAR, MONTHS_OF_QUARTER, MONTHS_OF_YEAR = 4, 3, 12

SESSIONS_TURNED_OVER = {"USD": 150, "INR": 1_000}  # market capitalisation in sessions of usual turnover
SHARES_UNIT = 1_000_000
LONGEST_REPORT_DAYS = 48
FIRST_REPORT_DAYS, REPORT_SPREAD_DAYS = 18, 27

# Most American companies keep calendar years; the others make that there are reports in every week of the year.
YEAR_ENDS_OF_CURRENCY = {"USD": (12, 12, 12, 12, 12, 12, 9, 6, 1, 10, 8, 5, 11, 2), "INR": (3,)}
PAYING_SHARE = {"USD": 0.9, "INR": 0.9}
REVENUE_OF_EMPLOYEE = {"USD": 400_000, "INR": 5_000_000}
REPORTS_AT = {"USD": time(6, 30), "INR": time(17, 0)}


class _Trait(IntEnum):
    """What is drawn once a company."""

    YEAR_END = 0
    REPORT_DAYS = 1
    EARNINGS_YIELD = 2
    MARGIN = 3
    TAX = 4
    RESEARCH = 5
    ADMINISTRATION = 6
    SELLING = 7
    DEBT = 8
    CASH = 9
    PLANT = 10
    SEASON = 11
    PAYS = 12
    PAYOUT = 13
    DIVIDEND_DAY = 14
    BETA = 15
    EMPLOYEES = 16
    FOUNDED = 17


@dataclass(frozen=True, slots=True)
class Company:
    """One company; shares are of revenue in a year unless said otherwise.

    Attributes:
        key: its randomness.
        currency: ISO 4217 code of its books and its share.
        timezone: that of its exchange.
        units: shares outstanding, ever the same.
        annual_revenue: in the middle of 2023, in its currency.
        growth: of that revenue in a year, in logarithms.
        year_ends_in: the month its fiscal year ends in.
        report_days: days from a quarter's end to its report, but for some days.
        reports_at: the local time of its reports.
        margin: what is left of revenue when all is paid.
        tax: the share of the income before it.
        research: the share spent on research; administration and selling likewise.
        debt: the share owed to lenders.
        cash: the share held in cash, and half as much again in short-term investments.
        plant: the share that its plant is worth.
        season: how much revenue swings through the year.
        payout: the share of net income that is paid as dividends; 0 for those that pay none.
        dividend_days: days before a quarter's end on which its share goes ex.
        beta: what its profile says of it.
        employees: how many it employs.
        first_traded: the year its share first traded.
    """

    key: int
    currency: str
    timezone: ZoneInfo
    units: int
    annual_revenue: float
    growth: float
    year_ends_in: int
    report_days: int
    reports_at: time
    margin: float
    tax: float
    research: float
    administration: float
    selling: float
    debt: float
    cash: float
    plant: float
    season: float
    payout: float
    dividend_days: int
    beta: float
    employees: int
    first_traded: int

    @property
    def is_indian(self) -> bool:
        """Say whether it pays dividends once a year, as Indian companies do."""
        return self.currency == "INR"

    def quarter_end(self, quarter: int) -> date:
        """Return the last day of a fiscal quarter, counted from the first of fiscal year 2010."""
        year, position = divmod(quarter, QUARTERS_OF_YEAR)
        months_left = MONTHS_OF_QUARTER * (QUARTERS_OF_YEAR - 1 - position)
        months = (FIRST_FISCAL_YEAR + year) * MONTHS_OF_YEAR + self.year_ends_in - 1 - months_left
        return date(months // MONTHS_OF_YEAR, months % MONTHS_OF_YEAR + 1, _last_day(months))

    def quarters_ended(self, day: date) -> int:
        """Return how many fiscal quarters have ended on a day or before."""
        months = (day.year - FIRST_FISCAL_YEAR) * MONTHS_OF_YEAR + day.month - self.year_ends_in
        guess = max(0, months // MONTHS_OF_QUARTER + QUARTERS_OF_YEAR)
        while guess and self.quarter_end(guess - 1) > day:
            guess -= 1
        return guess

    def reported_on(self, quarter: int) -> date:
        """Return the weekday on which a quarter is reported, at most 48 days after its end."""
        # The key's bits vary from quarter to quarter, at no cost where hundreds of reports are looked through.
        late = (self.key >> quarter % 60) % 3
        day = self.quarter_end(quarter) + timedelta(days=self.report_days + late)
        return day if day.weekday() < SATURDAY else day + timedelta(days=7 - day.weekday())

    def reported_at(self, quarter: int) -> datetime:
        """Return the moment of that report."""
        return datetime.combine(self.reported_on(quarter), self.reports_at, self.timezone)

    def quarters_reported(self, moment: datetime) -> int:
        """Return how many fiscal quarters have been reported at a moment."""
        count = self.quarters_ended(moment.astimezone(self.timezone).date())
        while count and self.reported_at(count - 1) > moment:
            count -= 1
        return count


def make_company(listed: Listed, seed: int) -> Company:
    """Return the company behind a listed share."""
    key = key_of(company_of(listed))
    currency = listed.instrument.currency
    draws = uniform(hashed(seed, Purpose.TRAIT, key, np.arange(len(_Trait))))
    year_ends = YEAR_ENDS_OF_CURRENCY[currency]
    units = _units(listed, seed, key)
    margin = 0.06 + 0.16 * draws[_Trait.MARGIN]
    net_income = units * listed.price * (0.025 + 0.05 * draws[_Trait.EARNINGS_YIELD])
    annual_revenue = float(net_income / margin)
    pays = draws[_Trait.PAYS] < PAYING_SHARE[currency]
    return Company(
        key=int(key),
        currency=currency,
        timezone=TIMEZONE_OF_VENUE[venue_of(listed.instrument)],
        units=units,
        annual_revenue=annual_revenue,
        growth=float(growths_of([listed], seed)[0]),
        year_ends_in=year_ends[int(draws[_Trait.YEAR_END] * len(year_ends))],
        report_days=FIRST_REPORT_DAYS + int(draws[_Trait.REPORT_DAYS] * REPORT_SPREAD_DAYS),
        reports_at=REPORTS_AT[currency],
        margin=float(margin),
        tax=float(0.17 + 0.08 * draws[_Trait.TAX]),
        research=float(0.08 * draws[_Trait.RESEARCH]),
        administration=float(0.02 + 0.04 * draws[_Trait.ADMINISTRATION]),
        selling=float(0.02 + 0.08 * draws[_Trait.SELLING]),
        debt=float(0.1 + 0.4 * draws[_Trait.DEBT]),
        cash=float(0.08 + 0.2 * draws[_Trait.CASH]),
        plant=float(0.3 + 0.4 * draws[_Trait.PLANT]),
        season=float(0.08 * draws[_Trait.SEASON]),
        payout=float(0.15 + 0.35 * draws[_Trait.PAYOUT]) if pays else 0.0,
        dividend_days=35 + int(draws[_Trait.DIVIDEND_DAY] * 25),
        beta=round(float(0.6 + 0.9 * draws[_Trait.BETA]), 2),
        employees=round(annual_revenue / REVENUE_OF_EMPLOYEE[currency] * (0.5 + draws[_Trait.EMPLOYEES])),
        first_traded=1970 + int(draws[_Trait.FOUNDED] * 38),
    )


def _units(listed: Listed, seed: int, key: np.uint64) -> int:
    """Return a number of shares that fits how much of them is traded."""
    currency = listed.instrument.currency
    size = float(np.exp(0.8 * normal(hashed(seed, Purpose.TURNOVER, key))))
    market_cap = TURNOVER_OF_CURRENCY[currency] * SESSIONS_TURNED_OVER[currency] * size
    return max(1, round(market_cap / listed.price / SHARES_UNIT)) * SHARES_UNIT


def _last_day(months: int) -> int:
    return monthrange(months // MONTHS_OF_YEAR, months % MONTHS_OF_YEAR + 1)[1]
