"""When companies report what they earned."""

from dataclasses import dataclass
from datetime import date

from market.domain.instruments import Exchange

REPORTING_EXCHANGES = (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX)
DAYS_BACK, DAYS_AHEAD = 1, 15


@dataclass(frozen=True, slots=True)
class EarningsReport:
    """A report that was made or is expected; None is what the source does not say.

    Attributes:
        on: the day, in New York.
        exchange: where the company is listed; None when the source does not say, the directory is asked then.
        symbol: the exchange's own symbol.
        eps_actual: earnings a share as reported, in the currency of the report, as are all figures.
        last_updated: when the source last changed it.
    """

    on: date
    symbol: str
    exchange: Exchange | None = None
    eps_actual: float | None = None
    eps_estimated: float | None = None
    revenue_actual: float | None = None
    revenue_estimated: float | None = None
    last_updated: date | None = None
