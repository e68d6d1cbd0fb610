"""Statements of the companies in the vendor's form: quarters add up to years, assets are what is owed and owned, and
cash changes by what flowed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from upstreams.fmp_market import Listed, Place

Row = dict[str, Any]

FIRST_QUARTER = 2010 * 4
MONTHS_TO_FILE = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Quarter:
    """Three months of one company; `index` counts quarters of the calendar from the year 0."""

    listed: Listed
    index: int

    @property
    def ends_on(self) -> date:
        """Return its last day."""
        year, quarter = divmod(self.index + 1, 4)
        return date(year, 3 * quarter + 1, 1) - timedelta(days=1)

    @property
    def label(self) -> tuple[str, str]:
        """Return the fiscal year, which ends in March in India, and the quarter of it."""
        lag = 1 if self.listed.place is Place.MUMBAI else 0
        year, quarter = divmod(self.index - lag, 4)
        return str(year + lag), f"Q{quarter + 1}"

    @property
    def income(self) -> Row:
        """Return what was earned."""
        size = self.listed.shares * self.listed.price
        revenue = round(size * 0.022 * (1 + 0.015 * (self.index - FIRST_QUARTER)) * (1 + 0.05 * math.sin(self.index)))
        cost, research, selling = round(revenue * 0.54), round(revenue * 0.08), round(revenue * 0.07)
        depreciation, interest_income, interest_expense = round(revenue * 0.03), round(revenue * 0.01), 0
        operating = revenue - cost - research - selling
        before_tax = operating + interest_income - interest_expense
        tax = round(before_tax * 0.21)
        return {
            "revenue": revenue,
            "costOfRevenue": cost,
            "grossProfit": revenue - cost,
            "researchAndDevelopmentExpenses": research,
            "generalAndAdministrativeExpenses": 0,
            "sellingAndMarketingExpenses": 0,
            "sellingGeneralAndAdministrativeExpenses": selling,
            "otherExpenses": 0,
            "operatingExpenses": research + selling,
            "costAndExpenses": cost + research + selling,
            "netInterestIncome": interest_income - interest_expense,
            "interestIncome": interest_income,
            "interestExpense": interest_expense,
            "depreciationAndAmortization": depreciation,
            "ebitda": before_tax + depreciation,
            "ebit": before_tax,
            "nonOperatingIncomeExcludingInterest": 0,
            "operatingIncome": operating,
            "totalOtherIncomeExpensesNet": interest_income - interest_expense,
            "incomeBeforeTax": before_tax,
            "incomeTaxExpense": tax,
            "netIncomeFromContinuingOperations": before_tax - tax,
            "netIncomeFromDiscontinuedOperations": 0,
            "otherAdjustmentsToNetIncome": 0,
            "netIncome": before_tax - tax,
            "netIncomeDeductions": 0,
            "bottomLineNetIncome": before_tax - tax,
        }

    @property
    def cash(self) -> int:
        """Return what is in the till at its end."""
        return round(self.listed.shares * self.listed.price * (0.01 + 0.0002 * (self.index - FIRST_QUARTER)))

    @property
    def flows(self) -> Row:
        """Return where cash came from and went."""
        income, begin = self.income, Quarter(self.listed, self.index - 1).cash
        net, depreciation = income["netIncome"], income["depreciationAndAmortization"]
        shares_given = round(net * 0.1)
        operating, spent = net + depreciation + shares_given, -round(income["revenue"] * 0.025)
        dividends = -round(self.listed.dividend * self.listed.shares)
        bought_back = self.cash - begin - operating - spent - dividends
        return {
            "netIncome": net,
            "depreciationAndAmortization": depreciation,
            "deferredIncomeTax": 0,
            "stockBasedCompensation": shares_given,
            "changeInWorkingCapital": 0,
            "accountsReceivables": 0,
            "inventory": 0,
            "accountsPayables": 0,
            "otherWorkingCapital": 0,
            "otherNonCashItems": 0,
            "netCashProvidedByOperatingActivities": operating,
            "investmentsInPropertyPlantAndEquipment": spent,
            "acquisitionsNet": 0,
            "purchasesOfInvestments": 0,
            "salesMaturitiesOfInvestments": 0,
            "otherInvestingActivities": 0,
            "netCashProvidedByInvestingActivities": spent,
            "netDebtIssuance": 0,
            "longTermNetDebtIssuance": 0,
            "shortTermNetDebtIssuance": 0,
            "netStockIssuance": bought_back,
            "netCommonStockIssuance": bought_back,
            "commonStockIssuance": 0,
            "commonStockRepurchased": bought_back,
            "netPreferredStockIssuance": 0,
            "netDividendsPaid": dividends,
            "commonDividendsPaid": dividends,
            "preferredDividendsPaid": 0,
            "otherFinancingActivities": 0,
            "netCashProvidedByFinancingActivities": bought_back + dividends,
            "effectOfForexChangesOnCash": 0,
            "netChangeInCash": self.cash - begin,
            "operatingCashFlow": operating,
            "capitalExpenditure": spent,
            "freeCashFlow": operating + spent,
            "incomeTaxesPaid": income["incomeTaxExpense"],
            "interestPaid": 0,
        }

    @property
    def balance(self) -> Row:
        """Return what is owned and owed at its end."""
        size, cash = self.listed.shares * self.listed.price, self.cash
        receivables, plant, goodwill = round(size * 0.008), round(size * 0.02), round(size * 0.004)
        payables, long_debt = round(size * 0.009), round(size * 0.015)
        current = cash + receivables
        assets, owed = current + plant + goodwill, payables + long_debt
        equity = assets - owed
        return {
            "cashAndCashEquivalents": cash,
            "shortTermInvestments": 0,
            "cashAndShortTermInvestments": cash,
            "netReceivables": receivables,
            "accountsReceivables": receivables,
            "otherReceivables": 0,
            "inventory": 0,
            "prepaids": 0,
            "otherCurrentAssets": 0,
            "totalCurrentAssets": current,
            "propertyPlantEquipmentNet": plant,
            "goodwill": goodwill,
            "intangibleAssets": 0,
            "goodwillAndIntangibleAssets": goodwill,
            "longTermInvestments": 0,
            "taxAssets": 0,
            "otherNonCurrentAssets": 0,
            "totalNonCurrentAssets": plant + goodwill,
            "otherAssets": 0,
            "totalAssets": assets,
            "totalPayables": payables,
            "accountPayables": payables,
            "otherPayables": 0,
            "accruedExpenses": 0,
            "shortTermDebt": 0,
            "capitalLeaseObligationsCurrent": 0,
            "taxPayables": 0,
            "deferredRevenue": 0,
            "otherCurrentLiabilities": 0,
            "totalCurrentLiabilities": payables,
            "longTermDebt": long_debt,
            "capitalLeaseObligationsNonCurrent": 0,
            "deferredRevenueNonCurrent": 0,
            "deferredTaxLiabilitiesNonCurrent": 0,
            "otherNonCurrentLiabilities": 0,
            "totalNonCurrentLiabilities": long_debt,
            "otherLiabilities": 0,
            "capitalLeaseObligations": 0,
            "totalLiabilities": owed,
            "treasuryStock": 0,
            "preferredStock": 0,
            "commonStock": round(equity * 0.6),
            "retainedEarnings": equity - round(equity * 0.6),
            "additionalPaidInCapital": 0,
            "accumulatedOtherComprehensiveIncomeLoss": 0,
            "otherTotalStockholdersEquity": 0,
            "totalStockholdersEquity": equity,
            "totalEquity": equity,
            "minorityInterest": 0,
            "totalLiabilitiesAndTotalEquity": owed + equity,
            "totalInvestments": 0,
            "totalDebt": long_debt,
            "netDebt": long_debt - cash,
        }


def income_statements(listed: Listed, period: str, limit: int, today: date) -> list[Row]:
    """Return what was earned, newest first."""
    return [_income_row(quarters) for quarters in _periods(listed, period, limit, today)]


def _income_row(quarters: Sequence[Quarter]) -> Row:
    figures, shares = _added(quarter.income for quarter in quarters), quarters[0].listed.shares
    earned = round(figures["netIncome"] / shares, 2)
    ends = {
        "eps": earned,
        "epsDiluted": earned,
        "weightedAverageShsOut": shares,
        "weightedAverageShsOutDil": shares,
    }
    return _head(quarters) | figures | ends


def balance_sheets(listed: Listed, period: str, limit: int, today: date) -> list[Row]:
    """Return what is owned and owed, newest first."""
    return [_head(quarters) | quarters[-1].balance for quarters in _periods(listed, period, limit, today)]


def cash_flow_statements(listed: Listed, period: str, limit: int, today: date) -> list[Row]:
    """Return where cash came from and went, newest first."""
    return [_cash_row(quarters) for quarters in _periods(listed, period, limit, today)]


def _cash_row(quarters: Sequence[Quarter]) -> Row:
    begin = Quarter(quarters[0].listed, quarters[0].index - 1).cash
    ends = {"cashAtEndOfPeriod": quarters[-1].cash, "cashAtBeginningOfPeriod": begin}
    return _head(quarters) | _added(quarter.flows for quarter in quarters) | ends


def _periods(listed: Listed, period: str, limit: int, today: date) -> list[list[Quarter]]:
    """Return the quarters of each period that was filed, newest first; a year is four of them."""
    last = min(listed.last_day or today, today - MONTHS_TO_FILE)
    newest = last.year * 4 + (last.month - 1) // 3 - 1
    quarters = [Quarter(listed, index) for index in range(FIRST_QUARTER, newest + 1)]
    if period == "quarter":
        return [[quarter] for quarter in reversed(quarters)][:limit]
    ends = [place for place, quarter in enumerate(quarters) if quarter.label[1] == "Q4" and place >= 3]
    return [quarters[place - 3 : place + 1] for place in reversed(ends)][:limit]


def _head(quarters: Sequence[Quarter]) -> Row:
    last = quarters[-1]
    year, quarter = last.label
    filed = last.ends_on + timedelta(days=30)
    return {
        "date": last.ends_on.isoformat(),
        "symbol": last.listed.symbol,
        "reportedCurrency": last.listed.currency,
        "cik": f"{last.listed.phase:010d}",
        "filingDate": filed.isoformat(),
        "acceptedDate": f"{filed.isoformat()} 06:01:36",
        "fiscalYear": year,
        "period": quarter if len(quarters) == 1 else "FY",
    }


def _added(rows: Any) -> Row:
    total: Row = {}
    for row in rows:
        for name, amount in row.items():
            total[name] = total.get(name, 0) + amount
    return total
