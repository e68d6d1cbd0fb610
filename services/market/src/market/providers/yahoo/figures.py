"""Which of Yahoo's figures is which of ours.

Ours that are not here Yahoo does not have in the same meaning; nothing is summed up to stand in for them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from market.domain.companies import StatementKind

_INCOME = {
    "TotalRevenue": "revenue",
    "CostOfRevenue": "cost_of_revenue",
    "GrossProfit": "gross_profit",
    "ResearchAndDevelopment": "research_and_development_expenses",
    "GeneralAndAdministrativeExpense": "general_and_administrative_expenses",
    "SellingAndMarketingExpense": "selling_and_marketing_expenses",
    "SellingGeneralAndAdministration": "selling_general_and_administrative_expenses",
    "OtherOperatingExpenses": "other_expenses",
    "OperatingExpense": "operating_expenses",
    "TotalExpenses": "cost_and_expenses",
    "NetInterestIncome": "net_interest_income",
    "InterestIncome": "interest_income",
    "InterestExpense": "interest_expense",
    "ReconciledDepreciation": "depreciation_and_amortization",
    "EBITDA": "ebitda",
    "EBIT": "ebit",
    "OtherIncomeExpense": "non_operating_income_excluding_interest",
    "OperatingIncome": "operating_income",
    "PretaxIncome": "income_before_tax",
    "TaxProvision": "income_tax_expense",
    "NetIncomeContinuousOperations": "net_income_from_continuing_operations",
    "NetIncomeDiscontinuousOperations": "net_income_from_discontinued_operations",
    "NetIncome": "net_income",
    "NetIncomeCommonStockholders": "bottom_line_net_income",
    "BasicEPS": "eps",
    "DilutedEPS": "eps_diluted",
    "BasicAverageShares": "weighted_average_shs_out",
    "DilutedAverageShares": "weighted_average_shs_out_dil",
}

_BALANCE_SHEET = {
    "TotalAssets": "total_assets",
    "CashAndCashEquivalents": "cash_and_cash_equivalents",
    "OtherShortTermInvestments": "short_term_investments",
    "CashCashEquivalentsAndShortTermInvestments": "cash_and_short_term_investments",
    "Receivables": "net_receivables",
    "AccountsReceivable": "accounts_receivables",
    "OtherReceivables": "other_receivables",
    "Inventory": "inventory",
    "PrepaidAssets": "prepaids",
    "OtherCurrentAssets": "other_current_assets",
    "CurrentAssets": "total_current_assets",
    "NetPPE": "property_plant_equipment_net",
    "Goodwill": "goodwill",
    "OtherIntangibleAssets": "intangible_assets",
    "GoodwillAndOtherIntangibleAssets": "goodwill_and_intangible_assets",
    "InvestmentsAndAdvances": "long_term_investments",
    "NonCurrentDeferredTaxesAssets": "tax_assets",
    "OtherNonCurrentAssets": "other_non_current_assets",
    "TotalNonCurrentAssets": "total_non_current_assets",
    "Payables": "total_payables",
    "AccountsPayable": "account_payables",
    "OtherPayable": "other_payables",
    "CurrentAccruedExpenses": "accrued_expenses",
    "CurrentDebt": "short_term_debt",
    "CurrentCapitalLeaseObligation": "capital_lease_obligations_current",
    "TotalTaxPayable": "tax_payables",
    "CurrentDeferredRevenue": "deferred_revenue",
    "OtherCurrentLiabilities": "other_current_liabilities",
    "CurrentLiabilities": "total_current_liabilities",
    "LongTermDebt": "long_term_debt",
    "LongTermCapitalLeaseObligation": "capital_lease_obligations_non_current",
    "NonCurrentDeferredRevenue": "deferred_revenue_non_current",
    "NonCurrentDeferredTaxesLiabilities": "deferred_tax_liabilities_non_current",
    "OtherNonCurrentLiabilities": "other_non_current_liabilities",
    "TotalNonCurrentLiabilitiesNetMinorityInterest": "total_non_current_liabilities",
    "CapitalLeaseObligations": "capital_lease_obligations",
    "TotalLiabilitiesNetMinorityInterest": "total_liabilities",
    "TreasuryStock": "treasury_stock",
    "PreferredStock": "preferred_stock",
    "CommonStock": "common_stock",
    "RetainedEarnings": "retained_earnings",
    "AdditionalPaidInCapital": "additional_paid_in_capital",
    "GainsLossesNotAffectingRetainedEarnings": "accumulated_other_comprehensive_income_loss",
    "OtherEquityInterest": "other_total_stockholders_equity",
    "StockholdersEquity": "total_stockholders_equity",
    "TotalEquityGrossMinorityInterest": "total_equity",
    "MinorityInterest": "minority_interest",
    "TotalDebt": "total_debt",
    "NetDebt": "net_debt",
}

_CASH_FLOW = {
    "OperatingCashFlow": "operating_cash_flow",
    "NetIncome": "net_income",
    "DepreciationAndAmortization": "depreciation_and_amortization",
    "DeferredIncomeTax": "deferred_income_tax",
    "StockBasedCompensation": "stock_based_compensation",
    "ChangeInWorkingCapital": "change_in_working_capital",
    "ChangesInAccountReceivables": "accounts_receivables",
    "ChangeInInventory": "inventory",
    "ChangeInAccountPayable": "accounts_payables",
    "ChangeInOtherWorkingCapital": "other_working_capital",
    "OtherNonCashItems": "other_non_cash_items",
    "PurchaseOfPPE": "investments_in_property_plant_and_equipment",
    "NetBusinessPurchaseAndSale": "acquisitions_net",
    "PurchaseOfInvestment": "purchases_of_investments",
    "SaleOfInvestment": "sales_maturities_of_investments",
    "NetOtherInvestingChanges": "other_investing_activities",
    "InvestingCashFlow": "net_cash_provided_by_investing_activities",
    "NetIssuancePaymentsOfDebt": "net_debt_issuance",
    "NetLongTermDebtIssuance": "long_term_net_debt_issuance",
    "NetShortTermDebtIssuance": "short_term_net_debt_issuance",
    "NetCommonStockIssuance": "net_common_stock_issuance",
    "CommonStockIssuance": "common_stock_issuance",
    "CommonStockPayments": "common_stock_repurchased",
    "NetPreferredStockIssuance": "net_preferred_stock_issuance",
    "CashDividendsPaid": "net_dividends_paid",
    "CommonStockDividendPaid": "common_dividends_paid",
    "PreferredStockDividendPaid": "preferred_dividends_paid",
    "NetOtherFinancingCharges": "other_financing_activities",
    "FinancingCashFlow": "net_cash_provided_by_financing_activities",
    "EffectOfExchangeRateChanges": "effect_of_forex_changes_on_cash",
    "ChangesInCash": "net_change_in_cash",
    "EndCashPosition": "cash_at_end_of_period",
    "BeginningCashPosition": "cash_at_beginning_of_period",
    "CapitalExpenditure": "capital_expenditure",
    "FreeCashFlow": "free_cash_flow",
    "IncomeTaxPaidSupplementalData": "income_taxes_paid",
    "InterestPaidSupplementalData": "interest_paid",
}

FIGURE_OF_TYPE: Mapping[StatementKind, Mapping[str, str]] = MappingProxyType(
    {
        StatementKind.INCOME: MappingProxyType(_INCOME),
        StatementKind.BALANCE_SHEET: MappingProxyType(_BALANCE_SHEET),
        StatementKind.CASH_FLOW: MappingProxyType(_CASH_FLOW),
    }
)

# A figure that every statement of a kind has: of whole years, it says when a company's fiscal year ends.
ANCHOR_OF_KIND: Mapping[StatementKind, str] = MappingProxyType(
    {
        StatementKind.INCOME: "TotalRevenue",
        StatementKind.BALANCE_SHEET: "TotalAssets",
        StatementKind.CASH_FLOW: "OperatingCashFlow",
    }
)

# The contract names this amount twice.
SAME_AS = MappingProxyType({"operating_cash_flow": "net_cash_provided_by_operating_activities"})
