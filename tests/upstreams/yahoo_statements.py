"""Statements of the companies in Yahoo's made-up market, in Yahoo's figures; quarters add up to years."""

from collections.abc import Mapping, Sequence
from datetime import date

from upstreams.yahoo_market import Issue, quarter_ends

QUARTERS, YEARS = 6, 4
# Figures at a moment; all others add up over time.
_STANDING = frozenset(
    {
        *("TotalAssets", "CashAndCashEquivalents", "OtherShortTermInvestments", "Inventory", "CurrentAssets", "NetPPE"),
        *("CashCashEquivalentsAndShortTermInvestments", "Receivables", "AccountsReceivable", "OtherNonCurrentAssets"),
        *("TotalNonCurrentAssets", "AccountsPayable", "Payables", "CurrentDebt", "OtherCurrentLiabilities"),
        *("CurrentLiabilities", "LongTermDebt", "OtherNonCurrentLiabilities", "CommonStock", "RetainedEarnings"),
        *("TotalNonCurrentLiabilitiesNetMinorityInterest", "TotalLiabilitiesNetMinorityInterest", "NetDebt"),
        *("StockholdersEquity", "TotalEquityGrossMinorityInterest", "TotalDebt", "BasicAverageShares"),
        *("DilutedAverageShares", "EndCashPosition"),
    }
)


def quarter(issue: Issue, end: date) -> Mapping[str, float]:
    """Return all figures of the quarter that ends on a day."""
    place = (end.year - 2020) * 4 + end.month // 3
    revenue = round(issue.level * issue.shares * 0.012 * 1.015**place) // 1000 * 1000
    return {**_income(issue, revenue), **_balance_sheet(revenue), **_cash_flow(revenue)}


def year(issue: Issue, end: date) -> Mapping[str, float]:
    """Return all figures of the fiscal year that ends on a day."""
    quarters = [quarter(issue, each) for each in _quarters_of(end)]
    summed = {name: sum(each[name] for each in quarters) for name in quarters[0] if name not in _STANDING}
    standing = {name: value for name, value in quarters[-1].items() if name in _STANDING}
    return summed | standing | {"BeginningCashPosition": quarters[0]["BeginningCashPosition"]}


def reported(issue: Issue, today: date, *, is_annual: bool) -> Mapping[date, Mapping[str, float]]:
    """Return what was reported until now, by the days on which periods end."""
    ends = quarter_ends(issue, today, (YEARS + 1) * 4)
    if not is_annual:
        return {end: quarter(issue, end) for end in ends[:QUARTERS]}
    return {end: year(issue, end) for end in ends if end.month == issue.fiscal_month}


def yearly_earnings_a_share(issue: Issue, today: date) -> float:
    """Return the earnings a share of the last four quarters."""
    return round(sum(quarter(issue, end)["DilutedEPS"] for end in quarter_ends(issue, today, 4)), 4)


def _quarters_of(end: date) -> Sequence[date]:
    months = [(end.year, end.month - back) for back in (9, 6, 3)]
    first_days = [
        (year + (month // 12 if month > 0 else (month - 12) // 12 + 1), month % 12 + 1) for year, month in months
    ]
    lasts = [date.fromordinal(date(year, month, 1).toordinal() - 1) for year, month in first_days]
    return [*lasts, end]


def _income(issue: Issue, revenue: int) -> dict[str, float]:
    cost, research, selling = revenue * 55 // 100, revenue * 8 // 100, revenue * 7 // 100
    operating = revenue - cost - research - selling
    other, tax = revenue // 200, (operating + revenue // 200) * 16 // 100
    net = operating + other - tax
    shares = issue.shares or 1
    return {
        "TotalRevenue": revenue,
        "CostOfRevenue": cost,
        "GrossProfit": revenue - cost,
        "ResearchAndDevelopment": research,
        "SellingGeneralAndAdministration": selling,
        "OperatingExpense": research + selling,
        "TotalExpenses": cost + research + selling,
        "OperatingIncome": operating,
        "OtherIncomeExpense": other,
        "InterestExpense": revenue // 100,
        "ReconciledDepreciation": revenue * 3 // 100,
        "EBIT": operating + other + revenue // 100,
        "EBITDA": operating + other + revenue // 100 + revenue * 3 // 100,
        "PretaxIncome": operating + other,
        "TaxProvision": tax,
        "NetIncomeContinuousOperations": net,
        "NetIncome": net,
        "NetIncomeCommonStockholders": net,
        "BasicEPS": round(net / shares, 4),
        "DilutedEPS": round(net / shares, 4),
        "BasicAverageShares": shares,
        "DilutedAverageShares": shares,
    }


def _balance_sheet(revenue: int) -> dict[str, float]:
    cash, securities, receivables, inventory = revenue // 3, revenue // 5, revenue // 4, revenue // 16
    current = cash + securities + receivables + inventory
    plant, other = revenue // 2, revenue
    payables, short_debt, other_current = revenue // 3, revenue // 10, revenue // 4
    long_debt, other_later = revenue * 4 // 5, revenue // 3
    current_liabilities, later = payables + short_debt + other_current, long_debt + other_later
    assets, liabilities = current + plant + other, current_liabilities + later
    return {
        "TotalAssets": assets,
        "CashAndCashEquivalents": cash,
        "OtherShortTermInvestments": securities,
        "CashCashEquivalentsAndShortTermInvestments": cash + securities,
        "Receivables": receivables,
        "AccountsReceivable": receivables,
        "Inventory": inventory,
        "CurrentAssets": current,
        "NetPPE": plant,
        "OtherNonCurrentAssets": other,
        "TotalNonCurrentAssets": plant + other,
        "Payables": payables,
        "AccountsPayable": payables,
        "CurrentDebt": short_debt,
        "OtherCurrentLiabilities": other_current,
        "CurrentLiabilities": current_liabilities,
        "LongTermDebt": long_debt,
        "OtherNonCurrentLiabilities": other_later,
        "TotalNonCurrentLiabilitiesNetMinorityInterest": later,
        "TotalLiabilitiesNetMinorityInterest": liabilities,
        "CommonStock": revenue // 4,
        "RetainedEarnings": assets - liabilities - revenue // 4,
        "StockholdersEquity": assets - liabilities,
        "TotalEquityGrossMinorityInterest": assets - liabilities,
        "TotalDebt": short_debt + long_debt,
        "NetDebt": short_debt + long_debt - cash,
    }


def _cash_flow(revenue: int) -> dict[str, float]:
    operating, plant, investing, financing = revenue // 4, -revenue // 25, -revenue // 12, -revenue // 7
    cash = revenue // 3
    return {
        "OperatingCashFlow": operating,
        "DepreciationAndAmortization": revenue * 3 // 100,
        "StockBasedCompensation": revenue * 2 // 100,
        "ChangeInWorkingCapital": -revenue // 50,
        "PurchaseOfPPE": plant,
        "CapitalExpenditure": plant,
        "FreeCashFlow": operating + plant,
        "InvestingCashFlow": investing,
        "CommonStockPayments": -revenue // 10,
        "CommonStockDividendPaid": -revenue // 40,
        "CashDividendsPaid": -revenue // 40,
        "FinancingCashFlow": financing,
        "ChangesInCash": operating + investing + financing,
        "BeginningCashPosition": cash - operating - investing - financing,
        "EndCashPosition": cash,
    }
