"""When the sample market's American companies report, and what: the figures are those of their statements."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from market.domain.earnings import REPORTING_EXCHANGES, EarningsReport
from market.domain.instruments import Instrument, InstrumentKind
from market.providers.sample.books import income_figures, make_course
from market.providers.sample.companies import LONGEST_REPORT_DAYS, Company
from market.providers.sample.fundamentals import EPS_DECIMALS, Fundamentals
from market.providers.sample.noise import Purpose, hashed, uniform

LONGEST_STRETCH = timedelta(days=92)
ESTIMATED_BEFORE = timedelta(days=30)
SURPRISE = 0.12  # from the least to the most, of what is estimated
REVENUE_UNIT = 1_000


class Earnings:
    """Lists reports that were made or are expected.

    Args:
        instruments: the listing's instruments.
        fundamentals: the companies behind shares.
        seed: what all randomness starts from.
    """

    def __init__(self, instruments: Sequence[Instrument], fundamentals: Fundamentals, *, seed: int) -> None:
        self._shares = [
            each for each in instruments if each.kind is InstrumentKind.EQUITY and each.exchange in REPORTING_EXCHANGES
        ]
        self._fundamentals = fundamentals
        self._seed = seed

    def reports(self, first: date, last: date, moment: datetime) -> Sequence[EarningsReport]:
        """Return the reports from `first` to `last`, both with, of at most the last 92 days of them, oldest first."""
        begin = max(first, last - LONGEST_STRETCH)
        found = [report for share in self._shares for report in self._of_share(share, begin, last, moment)]
        return sorted(found, key=lambda report: (report.on, report.symbol))

    def _of_share(self, share: Instrument, first: date, last: date, moment: datetime) -> Iterator[EarningsReport]:
        company = self._fundamentals.company(share)
        oldest = company.quarters_ended(first - timedelta(days=LONGEST_REPORT_DAYS))
        for quarter in range(oldest, company.quarters_ended(last)):
            if first <= company.reported_on(quarter) <= last:
                yield self._report(share, company, quarter, moment)

    def _report(self, share: Instrument, company: Company, quarter: int, moment: datetime) -> EarningsReport:
        on = company.reported_on(quarter)
        income = income_figures(make_course(company, self._seed, quarter + 1))
        eps = round(float(income["net_income"][-1]) / company.units, EPS_DECIMALS)
        revenue = float(income["revenue"][-1])
        draws = uniform(hashed(self._seed, Purpose.ESTIMATE, company.key, quarter, (0, 1))).tolist()
        expected_eps, expected_revenue = (1.0 + SURPRISE * (draw - 0.5) for draw in draws)
        is_made = company.reported_at(quarter) <= moment
        return EarningsReport(
            on=on,
            exchange=share.exchange,
            symbol=share.symbol,
            eps_actual=eps if is_made else None,
            eps_estimated=round(eps * expected_eps, EPS_DECIMALS),
            revenue_actual=revenue if is_made else None,
            revenue_estimated=float(round(revenue * expected_revenue / REVENUE_UNIT) * REVENUE_UNIT),
            last_updated=on if is_made else on - ESTIMATED_BEFORE,
        )
