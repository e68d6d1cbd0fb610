"""What is known of companies, as clients see it: Financial Modeling Prep's names, a field nobody knows null."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from gateway.models.origins import AsOf, HowFresh, Source
from gateway.reply import (
    Amount,
    CamelReply,
    Change,
    Date,
    DateTime,
    From,
    Percent,
    Price,
    Reply,
    example,
    itself,
    name_of_message,
)


class CompanyProfile(CamelReply):
    """A company and its share."""

    symbol: str
    company_name: str
    price: Price | None
    market_cap: Amount | None
    beta: Amount | None
    last_dividend: Amount | None
    range: str | None
    change: Change | None
    change_percentage: Percent | None
    volume: int | None
    average_volume: int | None
    currency: str
    cik: str | None
    isin: str | None
    cusip: str | None
    exchange_full_name: str | None
    exchange: str
    industry: str | None
    website: str | None
    description: str | None
    ceo: str | None
    sector: str | None
    country: str | None
    full_time_employees: int | None
    phone: str | None
    address: str | None
    city: str | None
    state: str | None
    zip: str | None
    image: str | None
    ipo_date: Date | None
    is_etf: bool | None
    is_actively_trading: bool | None
    is_adr: bool | None
    is_fund: bool | None
    source: Source
    as_of: AsOf
    freshness: HowFresh


class IncomeStatement(CamelReply):
    """What a company earned in a period."""

    date: Date
    symbol: str
    reported_currency: str | None
    cik: str | None
    filing_date: Date | None
    accepted_date: str | None
    fiscal_year: str
    period: str
    revenue: Amount | None
    cost_of_revenue: Amount | None
    gross_profit: Amount | None
    research_and_development_expenses: Amount | None
    general_and_administrative_expenses: Amount | None
    selling_and_marketing_expenses: Amount | None
    selling_general_and_administrative_expenses: Amount | None
    other_expenses: Amount | None
    operating_expenses: Amount | None
    cost_and_expenses: Amount | None
    net_interest_income: Amount | None
    interest_income: Amount | None
    interest_expense: Amount | None
    depreciation_and_amortization: Amount | None
    ebitda: Amount | None
    ebit: Amount | None
    non_operating_income_excluding_interest: Amount | None
    operating_income: Amount | None
    total_other_income_expenses_net: Amount | None
    income_before_tax: Amount | None
    income_tax_expense: Amount | None
    net_income_from_continuing_operations: Amount | None
    net_income_from_discontinued_operations: Amount | None
    other_adjustments_to_net_income: Amount | None
    net_income: Amount | None
    net_income_deductions: Amount | None
    bottom_line_net_income: Amount | None
    eps: Amount | None
    eps_diluted: Amount | None
    weighted_average_shs_out: Amount | None
    weighted_average_shs_out_dil: Amount | None


class BalanceSheet(CamelReply):
    """What a company owned and owed at the end of a period."""

    date: Date
    symbol: str
    reported_currency: str | None
    cik: str | None
    filing_date: Date | None
    accepted_date: str | None
    fiscal_year: str
    period: str
    cash_and_cash_equivalents: Amount | None
    short_term_investments: Amount | None
    cash_and_short_term_investments: Amount | None
    net_receivables: Amount | None
    accounts_receivables: Amount | None
    other_receivables: Amount | None
    inventory: Amount | None
    prepaids: Amount | None
    other_current_assets: Amount | None
    total_current_assets: Amount | None
    property_plant_equipment_net: Amount | None
    goodwill: Amount | None
    intangible_assets: Amount | None
    goodwill_and_intangible_assets: Amount | None
    long_term_investments: Amount | None
    tax_assets: Amount | None
    other_non_current_assets: Amount | None
    total_non_current_assets: Amount | None
    other_assets: Amount | None
    total_assets: Amount | None
    total_payables: Amount | None
    account_payables: Amount | None
    other_payables: Amount | None
    accrued_expenses: Amount | None
    short_term_debt: Amount | None
    capital_lease_obligations_current: Amount | None
    tax_payables: Amount | None
    deferred_revenue: Amount | None
    other_current_liabilities: Amount | None
    total_current_liabilities: Amount | None
    long_term_debt: Amount | None
    capital_lease_obligations_non_current: Amount | None
    deferred_revenue_non_current: Amount | None
    deferred_tax_liabilities_non_current: Amount | None
    other_non_current_liabilities: Amount | None
    total_non_current_liabilities: Amount | None
    other_liabilities: Amount | None
    capital_lease_obligations: Amount | None
    total_liabilities: Amount | None
    treasury_stock: Amount | None
    preferred_stock: Amount | None
    common_stock: Amount | None
    retained_earnings: Amount | None
    additional_paid_in_capital: Amount | None
    accumulated_other_comprehensive_income_loss: Amount | None
    other_total_stockholders_equity: Amount | None
    total_stockholders_equity: Amount | None
    total_equity: Amount | None
    minority_interest: Amount | None
    total_liabilities_and_total_equity: Amount | None
    total_investments: Amount | None
    total_debt: Amount | None
    net_debt: Amount | None


class CashFlowStatement(CamelReply):
    """What a company received and paid in a period."""

    date: Date
    symbol: str
    reported_currency: str | None
    cik: str | None
    filing_date: Date | None
    accepted_date: str | None
    fiscal_year: str
    period: str
    net_income: Amount | None
    depreciation_and_amortization: Amount | None
    deferred_income_tax: Amount | None
    stock_based_compensation: Amount | None
    change_in_working_capital: Amount | None
    accounts_receivables: Amount | None
    inventory: Amount | None
    accounts_payables: Amount | None
    other_working_capital: Amount | None
    other_non_cash_items: Amount | None
    net_cash_provided_by_operating_activities: Amount | None
    investments_in_property_plant_and_equipment: Amount | None
    acquisitions_net: Amount | None
    purchases_of_investments: Amount | None
    sales_maturities_of_investments: Amount | None
    other_investing_activities: Amount | None
    net_cash_provided_by_investing_activities: Amount | None
    net_debt_issuance: Amount | None
    long_term_net_debt_issuance: Amount | None
    short_term_net_debt_issuance: Amount | None
    net_stock_issuance: Amount | None
    net_common_stock_issuance: Amount | None
    common_stock_issuance: Amount | None
    common_stock_repurchased: Amount | None
    net_preferred_stock_issuance: Amount | None
    net_dividends_paid: Amount | None
    common_dividends_paid: Amount | None
    preferred_dividends_paid: Amount | None
    other_financing_activities: Amount | None
    net_cash_provided_by_financing_activities: Amount | None
    effect_of_forex_changes_on_cash: Amount | None
    net_change_in_cash: Amount | None
    cash_at_end_of_period: Amount | None
    cash_at_beginning_of_period: Amount | None
    operating_cash_flow: Amount | None
    capital_expenditure: Amount | None
    free_cash_flow: Amount | None
    income_taxes_paid: Amount | None
    interest_paid: Amount | None


Statement = Annotated[
    Annotated[IncomeStatement, Tag("IncomeStatement")]
    | Annotated[BalanceSheet, Tag("BalanceSheet")]
    | Annotated[CashFlowStatement, Tag("CashFlowStatement")],
    Discriminator(name_of_message),
]


class Dividend(CamelReply):
    """What a share was paid, adjusted for later splits."""

    model_config = example(recordDate="2025-05-12", adjDividend=0.26)

    record_date: Date
    adj_dividend: Price


class PriceTarget(CamelReply):
    """What an analyst held a share to be worth."""

    model_config = example(
        symbol="AAPL",
        publishedDate="2025-07-03T13:31:00.000Z",
        newsURL="https://news.example/apple",
        newsTitle="An analyst reiterates Neutral on Apple",
        analystName="A. Analyst",
        priceTarget=210,
        adjPriceTarget=210,
        priceWhenPosted=214.33,
        newsPublisher="News",
        newsBaseURL="news.example",
        analystCompany="A Bank",
    )

    symbol: str
    published_date: DateTime
    news_url: Annotated[str | None, Field(serialization_alias="newsURL")]
    news_title: str | None
    analyst_name: str | None
    price_target: Amount | None
    adj_price_target: Amount | None
    price_when_posted: Amount | None
    news_publisher: str | None
    news_base_url: Annotated[str | None, Field(serialization_alias="newsBaseURL")]
    analyst_company: str | None


class Recommendation(CamelReply):
    """How many analysts recommend what."""

    model_config = example(symbol="AAPL", strongBuy=1, buy=72, hold=29, sell=7, strongSell=0, consensus="Buy")

    symbol: str
    strong_buy: int
    buy: int
    hold: int
    sell: int
    strong_sell: int
    consensus: str


class PriceTargets(Reply):
    """The latest price targets, and how many they are."""

    price_targets: list[PriceTarget]
    count: int


class Ratings(Reply):
    """What analysts hold of a share."""

    symbol: str
    ratings: Annotated[PriceTargets, From(itself)]
    recommendations: list[Recommendation]
    source: Source
    as_of: AsOf
    freshness: HowFresh
