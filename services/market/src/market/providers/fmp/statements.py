"""Which figures Financial Modeling Prep's statements have, by its names; ours are the same in snake case."""

import re

from market.domain.companies import StatementKind

_INCOME = """
revenue costOfRevenue grossProfit researchAndDevelopmentExpenses generalAndAdministrativeExpenses
sellingAndMarketingExpenses sellingGeneralAndAdministrativeExpenses otherExpenses operatingExpenses costAndExpenses
netInterestIncome interestIncome interestExpense depreciationAndAmortization ebitda ebit
nonOperatingIncomeExcludingInterest operatingIncome totalOtherIncomeExpensesNet incomeBeforeTax incomeTaxExpense
netIncomeFromContinuingOperations netIncomeFromDiscontinuedOperations otherAdjustmentsToNetIncome netIncome
netIncomeDeductions bottomLineNetIncome eps epsDiluted weightedAverageShsOut weightedAverageShsOutDil
"""
_BALANCE_SHEET = """
cashAndCashEquivalents shortTermInvestments cashAndShortTermInvestments netReceivables accountsReceivables
otherReceivables inventory prepaids otherCurrentAssets totalCurrentAssets propertyPlantEquipmentNet goodwill
intangibleAssets goodwillAndIntangibleAssets longTermInvestments taxAssets otherNonCurrentAssets totalNonCurrentAssets
otherAssets totalAssets totalPayables accountPayables otherPayables accruedExpenses shortTermDebt
capitalLeaseObligationsCurrent taxPayables deferredRevenue otherCurrentLiabilities totalCurrentLiabilities longTermDebt
capitalLeaseObligationsNonCurrent deferredRevenueNonCurrent deferredTaxLiabilitiesNonCurrent
otherNonCurrentLiabilities totalNonCurrentLiabilities otherLiabilities capitalLeaseObligations totalLiabilities
treasuryStock preferredStock commonStock retainedEarnings additionalPaidInCapital
accumulatedOtherComprehensiveIncomeLoss otherTotalStockholdersEquity totalStockholdersEquity totalEquity
minorityInterest totalLiabilitiesAndTotalEquity totalInvestments totalDebt netDebt
"""
_CASH_FLOW = """
netIncome depreciationAndAmortization deferredIncomeTax stockBasedCompensation changeInWorkingCapital
accountsReceivables inventory accountsPayables otherWorkingCapital otherNonCashItems
netCashProvidedByOperatingActivities investmentsInPropertyPlantAndEquipment acquisitionsNet purchasesOfInvestments
salesMaturitiesOfInvestments otherInvestingActivities netCashProvidedByInvestingActivities netDebtIssuance
longTermNetDebtIssuance shortTermNetDebtIssuance netStockIssuance netCommonStockIssuance commonStockIssuance
commonStockRepurchased netPreferredStockIssuance netDividendsPaid commonDividendsPaid preferredDividendsPaid
otherFinancingActivities netCashProvidedByFinancingActivities effectOfForexChangesOnCash netChangeInCash
cashAtEndOfPeriod cashAtBeginningOfPeriod operatingCashFlow capitalExpenditure freeCashFlow incomeTaxesPaid
interestPaid
"""


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


OURS_BY_VENDOR = {
    kind: {name: _snake_case(name) for name in names.split()}
    for kind, names in (
        (StatementKind.INCOME, _INCOME),
        (StatementKind.BALANCE_SHEET, _BALANCE_SHEET),
        (StatementKind.CASH_FLOW, _CASH_FLOW),
    )
}
