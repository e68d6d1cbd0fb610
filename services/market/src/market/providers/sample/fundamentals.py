"""Answers what the sample market's companies report, pay and are worth."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np

from market.domain.companies import Dividend, Period, Statement, StatementKind
from market.domain.instruments import Instrument
from market.domain.quote_details import QuoteDetails
from market.domain.quotes import Quote
from market.providers.sample.books import (
    Figures,
    balance_figures,
    cash_flow_figures,
    dividends_a_share,
    income_figures,
    make_course,
    positions,
)
from market.providers.sample.companies import (
    FIRST_FISCAL_YEAR,
    MONTHS_OF_QUARTER,
    QUARTERS_OF_YEAR,
    Company,
    make_company,
)
from market.providers.sample.history import History

DILUTION = 1.01
EPS_DECIMALS = 2
YEAR = timedelta(days=365)
DAYS_OF_QUARTER = 31 * MONTHS_OF_QUARTER
# An impossible number: those that were given out begin with zeros.
CIK_PREFIX, CIK_DIGITS = "99", 8

_OPENING, _CLOSING = "cash_at_beginning_of_period", "cash_at_end_of_period"


class Fundamentals:
    """Keeps the companies behind the shares; their books are made for each question.

    Args:
        history: the listing and the sessions.
        seed: what all randomness starts from.
    """

    def __init__(self, history: History, *, seed: int) -> None:
        self._history = history
        self._seed = seed
        self._companies: dict[str, Company] = {}

    def company(self, instrument: Instrument) -> Company:
        """Return the company behind a share.

        Raises:
            NothingKnown: the share is not in the listing.
        """
        company = self._companies.get(instrument.id)
        if company is None:
            company = self._companies[instrument.id] = make_company(self._history.listed(instrument), self._seed)
        return company

    def cik(self, instrument: Instrument) -> str:
        """Return a company's number in the form of those that the SEC gives out, which none of them is."""
        return f"{CIK_PREFIX}{self.company(instrument).key % 10**CIK_DIGITS:0{CIK_DIGITS}d}"

    def statements(
        self, instrument: Instrument, kind: StatementKind, moment: datetime, *, is_annual: bool, limit: int
    ) -> Sequence[Statement]:
        """Return the newest statements that are filed at a moment, newest first."""
        company = self.company(instrument)
        filed = company.quarters_reported(moment)
        figures = self._figures(company, kind, filed)
        length = QUARTERS_OF_YEAR if is_annual else 1
        newest = filed // length * length
        begins = range(newest - length, -1, -length)[:limit]
        return [self._statement(instrument, kind, figures, slice(begin, begin + length)) for begin in begins]

    def dividends(self, instrument: Instrument, moment: datetime) -> Sequence[Dividend]:
        """Return the dividends that went ex up to a moment's day, newest first."""
        company = self.company(instrument)
        today = moment.astimezone(company.timezone).date()
        quarters = company.quarters_ended(today + timedelta(days=DAYS_OF_QUARTER))
        amounts = dividends_a_share(make_course(company, self._seed, quarters))[1:].tolist()
        paid = [(self._ex_date(instrument, quarter), amount) for quarter, amount in enumerate(amounts) if amount]
        return [
            Dividend(day, amount, record_date=day) for day, amount in reversed(paid) if day is not None and day <= today
        ]

    def details(self, quote: Quote, moment: datetime) -> QuoteDetails:
        """Return what stands beside the price of a share; averages and extremes follow from its bars."""
        company = self.company(quote.instrument)
        eps = self.earnings_of_year(company, moment)
        return QuoteDetails(
            market_cap=self.market_cap(quote),
            eps=eps,
            pe=None if eps is None or eps <= 0 else round(quote.last_price / eps, 2),
        )

    def market_cap(self, quote: Quote) -> float:
        """Return what all shares are worth."""
        return round(quote.last_price * self.company(quote.instrument).units, 2)

    def earnings_of_year(self, company: Company, moment: datetime) -> float | None:
        """Return the earnings a share of the four newest quarters reported; None where there are fewer."""
        filed = company.quarters_reported(moment)
        if filed < QUARTERS_OF_YEAR:
            return None
        net_income = income_figures(make_course(company, self._seed, filed))["net_income"]
        return round(float(net_income[-QUARTERS_OF_YEAR:].sum()) / company.units, EPS_DECIMALS)

    def dividends_of_year(self, instrument: Instrument, moment: datetime) -> float:
        """Return what a share paid in the last 365 days."""
        since = moment.astimezone(self.company(instrument).timezone).date() - YEAR
        return round(sum((each.amount for each in self.dividends(instrument, moment) if each.ex_date > since), 0.0), 2)

    def _figures(self, company: Company, kind: StatementKind, quarters: int) -> Figures:
        """Return one kind of statement, a column a quarter."""
        course = make_course(company, self._seed, quarters)
        income = income_figures(course)
        if kind is StatementKind.INCOME:
            return {name: column[1:] for name, column in income.items()}
        held = positions(course)
        flows = cash_flow_figures(course, income, held, np.rint(dividends_a_share(course) * company.units))
        figures = flows if kind is StatementKind.CASH_FLOW else balance_figures(course, held, flows)
        return {name: column[1:] for name, column in figures.items()}

    def _statement(self, instrument: Instrument, kind: StatementKind, figures: Figures, quarters: slice) -> Statement:
        company = self.company(instrument)
        year, position = divmod(quarters.stop - 1, QUARTERS_OF_YEAR)
        told = _of_period(kind, figures, quarters)
        if kind is StatementKind.INCOME:
            told |= _a_share(told["net_income"], company)
        filed = company.reported_on(quarters.stop - 1)
        return Statement(
            kind=kind,
            ends_on=company.quarter_end(quarters.stop - 1),
            fiscal_year=FIRST_FISCAL_YEAR + year,
            period=Period(f"Q{position + 1}") if quarters.stop - quarters.start == 1 else Period.FY,
            reported_currency=company.currency,
            figures=told,
            cik=None if company.is_indian else self.cik(instrument),
            filing_date=filed,
            accepted_date=f"{filed} {company.reports_at}",
        )

    def _ex_date(self, instrument: Instrument, quarter: int) -> date | None:
        """Return the session on which a share trades without a quarter's dividend; None before the first of all."""
        company = self.company(instrument)
        wanted = np.datetime64(company.quarter_end(quarter) - timedelta(days=company.dividend_days))
        dates = self._history.times_of(instrument).dates
        if wanted < dates[0]:
            return None
        session: date = dates[np.searchsorted(dates, wanted)].astype(date)
        return session


def _of_period(kind: StatementKind, figures: Figures, quarters: slice) -> dict[str, float]:
    """Return the figures of several quarters: what flows is summed, what stands is that of the last."""
    columns = {name: column[quarters].tolist() for name, column in figures.items()}
    if kind is StatementKind.BALANCE_SHEET:
        return {name: column[-1] for name, column in columns.items()}
    summed = {name: sum(column) for name, column in columns.items()}
    if kind is StatementKind.CASH_FLOW:
        summed |= {_OPENING: columns[_OPENING][0], _CLOSING: columns[_CLOSING][-1]}
    return summed


def _a_share(net_income: float, company: Company) -> dict[str, float]:
    diluted = company.units * DILUTION
    return {
        "eps": round(net_income / company.units, EPS_DECIMALS),
        "eps_diluted": round(net_income / diluted, EPS_DECIMALS),
        "weighted_average_shs_out": float(company.units),
        "weighted_average_shs_out_dil": round(diluted, 2),
    }
