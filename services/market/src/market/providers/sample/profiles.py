"""Profiles of the sample market's companies and funds: real names, everything else made up and said to be."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from market.domain.companies import Profile
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Quote
from market.providers.sample.fundamentals import Fundamentals
from market.providers.sample.history import History
from market.providers.sample.made_up import PEOPLE, address_of

YEAR = timedelta(days=365)
FULL_NAMES = {
    Exchange.NSE: "National Stock Exchange of India",
    Exchange.BSE: "BSE Limited",
    Exchange.NASDAQ: "Nasdaq Stock Market",
    Exchange.NYSE: "New York Stock Exchange",
    Exchange.AMEX: "NYSE American",
}
PHONE_OF_CURRENCY = {"USD": "+1 555 0100", "INR": "+91 00000 00100"}


class Profiles:
    """Describes shares and funds.

    Args:
        history: their bars.
        fundamentals: the companies behind shares.
    """

    def __init__(self, history: History, fundamentals: Fundamentals) -> None:
        self._history = history
        self._fundamentals = fundamentals

    def profile(self, quote: Quote, moment: datetime) -> Profile:
        """Return the profile of what is quoted."""
        instrument = quote.instrument
        today = moment.date()
        year = self._history.bars(instrument, today - YEAR, today, moment)
        lows, highs = [*year.low.tolist(), quote.last_price], [*year.high.tolist(), quote.last_price]
        is_fund = instrument.kind is InstrumentKind.FUND
        shown = Profile(
            company_name=instrument.name,
            currency=instrument.currency,
            exchange=instrument.exchange,
            price=quote.last_price,
            range=f"{min(lows)}-{max(highs)}",
            change=quote.change,
            change_percentage=quote.change_percent,
            volume=quote.volume,
            average_volume=None if year.volume is None or not len(year) else round(float(year.volume.mean())),
            exchange_full_name=FULL_NAMES.get(instrument.exchange),
            website=address_of(instrument.exchange, instrument.symbol),
            description=_description(instrument),
            sector=instrument.sector,
            country="IN" if instrument.currency == "INR" else "US",
            image=address_of("images", instrument.exchange, f"{instrument.symbol}.png"),
            is_etf=is_fund,
            is_actively_trading=True,
            is_adr=False,
            is_fund=False,
        )
        return shown if is_fund else self._with_company(shown, quote, moment)

    def _with_company(self, profile: Profile, quote: Quote, moment: datetime) -> Profile:
        instrument = quote.instrument
        company = self._fundamentals.company(instrument)
        return replace(
            profile,
            market_cap=self._fundamentals.market_cap(quote),
            beta=company.beta,
            last_dividend=self._fundamentals.dividends_of_year(instrument, moment),
            cik=None if company.is_indian else self._fundamentals.cik(instrument),
            industry=f"{instrument.sector or 'Other'} (simulated)",
            ceo=PEOPLE[company.key % len(PEOPLE)],
            full_time_employees=company.employees,
            phone=PHONE_OF_CURRENCY[company.currency],
            address=f"{1 + company.key % 99} Simulation Way",
            city="Sampleville",
            state="Nowhere",
            zip="00000",
            ipo_date=date(company.first_traded, 1 + company.key % 12, 1 + company.key % 28),
        )


def _description(instrument: Instrument) -> str:
    return (
        f"This description was made up by the sample market of Bourse. The name {instrument.name} and its sector are "
        "real; every figure, person and address beside them is simulated and says nothing about the real one."
    )
