"""The books of a made-up company: every figure of its statements, a quarter at a time, as columns that add up.

Amounts are whole thousands, so that sums are exact. What a quarter earns and owns follows from the company and the
quarter alone; only what piles up (retained earnings, paid-in capital, treasury stock) is summed from the first quarter
on. What a quarter earned beyond its needs buys shares back: that makes cash flow and balance sheet meet.
"""

from dataclasses import dataclass

import numpy as np

from market.providers.sample.companies import FIRST_FISCAL_YEAR, QUARTERS_OF_YEAR, Company
from market.providers.sample.noise import Floats, Purpose, hashed, uniform

Figures = dict[str, Floats]

UNIT = 1_000.0
ANCHOR_YEAR = 2023.5
BORROWING_RATE, DEPOSIT_RATE = 0.05, 0.03
NOISE_OF_REVENUE, NOISE_OF_COST, NOISE_OF_POSITION = 0.06, 0.03, 0.08
DEPRECIATION_OF_PLANT = 0.02  # a quarter
PAY_IN_SHARES = 0.012  # of revenue
DRAWS = 16

# Positions beside cash, debt and plant, in shares of a year's revenue.
ASSET_SHARES = {
    "accounts_receivables": 0.11,
    "other_receivables": 0.02,
    "inventory": 0.09,
    "prepaids": 0.015,
    "other_current_assets": 0.02,
    "goodwill": 0.14,
    "intangible_assets": 0.08,
    "long_term_investments": 0.12,
    "tax_assets": 0.02,
    "other_non_current_assets": 0.04,
}
LIABILITY_SHARES = {
    "account_payables": 0.09,
    "tax_payables": 0.02,
    "accrued_expenses": 0.04,
    "capital_lease_obligations_current": 0.01,
    "deferred_revenue": 0.03,
    "other_current_liabilities": 0.03,
    "capital_lease_obligations_non_current": 0.04,
    "deferred_revenue_non_current": 0.01,
    "deferred_tax_liabilities_non_current": 0.03,
    "other_non_current_liabilities": 0.05,
}
NOISY = ("accounts_receivables", "inventory", "account_payables", "accrued_expenses")
SHORT_TERM_SHARE_OF_DEBT = 0.2
COMMON_STOCK_SHARE, PAID_IN_SHARE, OTHER_INCOME_SHARE = 0.01, 0.1, -0.01


@dataclass(frozen=True, slots=True)
class Course:
    """What drives a company's quarters; every column begins with the one before the first quarter.

    Attributes:
        company: whose they are.
        level: revenue of a year along the trend.
        revenue: of the quarter.
        draws: even numbers from 0 to 1, shape [DRAWS, quarters].
    """

    company: Company
    level: Floats
    revenue: Floats
    draws: Floats

    def shared(self, share: float) -> Floats:
        """Return a position that is a share of a year's revenue."""
        return _whole(self.level * share)

    def swing(self, draw: int, width: float) -> Floats:
        """Return factors around 1 that vary by `width` from the least to the most."""
        factors: Floats = 1.0 + width * (self.draws[draw] - 0.5)
        return factors


def make_course(company: Company, seed: int, quarters: int) -> Course:
    """Return what drives the first `quarters` quarters."""
    numbers = np.arange(quarters + 1)
    draws = uniform(hashed(seed, Purpose.BOOKS, company.key, np.arange(DRAWS)[:, None], numbers[None, :]))
    years = FIRST_FISCAL_YEAR + numbers / QUARTERS_OF_YEAR + (company.year_ends_in / 12 - 1.0) - ANCHOR_YEAR
    level = company.annual_revenue * np.exp(company.growth * years)
    season = 1.0 + company.season * np.sin(np.pi / 2.0 * (numbers + company.key % QUARTERS_OF_YEAR))
    swing = 1.0 + NOISE_OF_REVENUE * (draws[0] - 0.5)
    return Course(company, level, _whole(level / QUARTERS_OF_YEAR * season * swing), draws)


def income_figures(course: Course) -> Figures:
    """Return the lines of the income statements."""
    company, revenue = course.company, course.revenue
    research, administration, selling = (
        _whole(revenue * share * course.swing(draw, NOISE_OF_REVENUE))
        for draw, share in enumerate((company.research, company.administration, company.selling), start=1)
    )
    spent = company.research + company.administration + company.selling
    interest_share = company.debt * BORROWING_RATE - 1.5 * company.cash * DEPOSIT_RATE
    cost_share = 1.0 - company.margin / (1.0 - company.tax) - interest_share - spent
    cost = _whole(revenue * cost_share * course.swing(4, NOISE_OF_COST))
    zero = np.zeros_like(revenue)
    overhead = administration + selling
    operating_expenses = research + overhead
    operating_income = revenue - cost - operating_expenses
    interest_income = course.shared(1.5 * company.cash * DEPOSIT_RATE / QUARTERS_OF_YEAR)
    interest_expense = course.shared(company.debt * BORROWING_RATE / QUARTERS_OF_YEAR)
    other = _whole(revenue * 0.01 * (course.draws[5] - 0.5))
    before_tax = operating_income + interest_income - interest_expense + other
    tax = _whole(np.maximum(before_tax, 0.0) * company.tax)
    depreciation = course.shared(company.plant * DEPRECIATION_OF_PLANT)
    net_income = before_tax - tax
    return {
        "revenue": revenue,
        "cost_of_revenue": cost,
        "gross_profit": revenue - cost,
        "research_and_development_expenses": research,
        "general_and_administrative_expenses": administration,
        "selling_and_marketing_expenses": selling,
        "selling_general_and_administrative_expenses": overhead,
        "other_expenses": zero,
        "operating_expenses": operating_expenses,
        "cost_and_expenses": cost + operating_expenses,
        "net_interest_income": interest_income - interest_expense,
        "interest_income": interest_income,
        "interest_expense": interest_expense,
        "depreciation_and_amortization": depreciation,
        "ebitda": before_tax + interest_expense + depreciation,
        "ebit": before_tax + interest_expense,
        "non_operating_income_excluding_interest": other,
        "operating_income": operating_income,
        "total_other_income_expenses_net": interest_income - interest_expense + other,
        "income_before_tax": before_tax,
        "income_tax_expense": tax,
        "net_income_from_continuing_operations": net_income,
        "net_income_from_discontinued_operations": zero,
        "other_adjustments_to_net_income": zero,
        "net_income": net_income,
        "net_income_deductions": zero,
        "bottom_line_net_income": net_income,
    }


def dividends_a_share(course: Course) -> Floats:
    """Return what each quarter pays a share, in whole cents: every quarter, or once a year in the second."""
    company = course.company
    numbers = np.arange(len(course.level)) - 1
    years = numbers // QUARTERS_OF_YEAR * QUARTERS_OF_YEAR + 1
    # All of a fiscal year's dividends follow from the level at its beginning.
    yearly = course.level[np.maximum(years, 0)] * company.margin * company.payout / company.units
    paying = numbers % QUARTERS_OF_YEAR == 1 if company.is_indian else np.ones(len(numbers), dtype=bool)
    amounts = yearly if company.is_indian else yearly / QUARTERS_OF_YEAR
    least = 0.01 if company.payout else 0.0
    dividends: Floats = np.where(paying, np.maximum(np.round(amounts, 2), least), 0.0)
    return dividends


def positions(course: Course) -> Figures:
    """Return what is owned and owed at each quarter's end, but for equity."""
    company = course.company
    named = {name: course.shared(share) for name, share in (ASSET_SHARES | LIABILITY_SHARES).items()}
    for draw, name in enumerate(NOISY, start=6):
        named[name] = _whole(named[name] * course.swing(draw, NOISE_OF_POSITION))
    return named | {
        "cash_and_cash_equivalents": _whole(course.level * company.cash * course.swing(10, 2 * NOISE_OF_POSITION)),
        "short_term_investments": _whole(course.level * company.cash / 2 * course.swing(11, NOISE_OF_POSITION)),
        "property_plant_equipment_net": course.shared(company.plant),
        "short_term_debt": course.shared(company.debt * SHORT_TERM_SHARE_OF_DEBT),
        "long_term_debt": course.shared(company.debt * (1.0 - SHORT_TERM_SHARE_OF_DEBT)),
    }


def balance_figures(course: Course, held: Figures, flows: Figures) -> Figures:
    """Return the lines of the balance sheets, given the positions and the cash flows."""
    assets, liabilities = _asset_sums(held), _liability_sums(held)
    equity = _equity(course, assets["total_assets"] - liabilities["total_liabilities"], flows)
    debt = held["short_term_debt"] + held["long_term_debt"] + liabilities["capital_lease_obligations"]
    return (
        held
        | assets
        | liabilities
        | equity
        | {
            "total_liabilities_and_total_equity": liabilities["total_liabilities"] + equity["total_equity"],
            "total_investments": held["short_term_investments"] + held["long_term_investments"],
            "total_debt": debt,
            "net_debt": debt - held["cash_and_cash_equivalents"],
        }
    )


def cash_flow_figures(course: Course, income: Figures, held: Figures, paid: Floats) -> Figures:
    """Return the lines of the cash flow statements.

    Args:
        course: the company's quarters.
        income: the lines of the income statements.
        held: the positions.
        paid: dividends of each quarter, as an amount above 0.
    """
    grown = {name: np.diff(position, prepend=position[:1]) for name, position in held.items()}
    operating = _operating(course, income, grown)
    investing = _investing(course, income, grown)
    cash = held["cash_and_cash_equivalents"]
    lent = grown["short_term_debt"] + grown["long_term_debt"]
    leased = grown["capital_lease_obligations_current"] + grown["capital_lease_obligations_non_current"]
    before_shares = (
        operating["operating_cash_flow"] + investing["net_cash_provided_by_investing_activities"] + lent + leased - paid
    )
    shares = grown["cash_and_cash_equivalents"] - before_shares
    zero = np.zeros_like(cash)
    financing = {
        "net_debt_issuance": lent,
        "long_term_net_debt_issuance": grown["long_term_debt"],
        "short_term_net_debt_issuance": grown["short_term_debt"],
        "net_stock_issuance": shares,
        "net_common_stock_issuance": shares,
        "common_stock_issuance": np.maximum(shares, 0.0),
        "common_stock_repurchased": np.minimum(shares, 0.0),
        "net_preferred_stock_issuance": zero,
        "net_dividends_paid": -paid,
        "common_dividends_paid": -paid,
        "preferred_dividends_paid": zero,
        "other_financing_activities": leased,
        "net_cash_provided_by_financing_activities": lent + leased + shares - paid,
    }
    closing = {
        "effect_of_forex_changes_on_cash": zero,
        "net_change_in_cash": grown["cash_and_cash_equivalents"],
        "cash_at_end_of_period": cash,
        "cash_at_beginning_of_period": cash - grown["cash_and_cash_equivalents"],
        "capital_expenditure": investing["investments_in_property_plant_and_equipment"],
        "free_cash_flow": operating["operating_cash_flow"] + investing["investments_in_property_plant_and_equipment"],
        "income_taxes_paid": income["income_tax_expense"] - operating["deferred_income_tax"],
        "interest_paid": income["interest_expense"],
    }
    return operating | investing | financing | closing


def _operating(course: Course, income: Figures, grown: Figures) -> Figures:
    receivables = -(grown["accounts_receivables"] + grown["other_receivables"])
    used = ("prepaids", "other_current_assets", "other_non_current_assets")
    owed = (
        "tax_payables",
        "accrued_expenses",
        "deferred_revenue",
        "deferred_revenue_non_current",
        "other_current_liabilities",
        "other_non_current_liabilities",
    )
    other = _sum(grown, owed) - _sum(grown, used)
    change = receivables - grown["inventory"] + grown["account_payables"] + other
    deferred = grown["deferred_tax_liabilities_non_current"] - grown["tax_assets"]
    pay_in_shares = _whole(course.revenue * PAY_IN_SHARES)
    total = income["net_income"] + income["depreciation_and_amortization"] + deferred + pay_in_shares + change
    return {
        "net_income": income["net_income"],
        "depreciation_and_amortization": income["depreciation_and_amortization"],
        "deferred_income_tax": deferred,
        "stock_based_compensation": pay_in_shares,
        "change_in_working_capital": change,
        "accounts_receivables": receivables,
        "inventory": -grown["inventory"],
        "accounts_payables": grown["account_payables"],
        "other_working_capital": other,
        "other_non_cash_items": np.zeros_like(total),
        "net_cash_provided_by_operating_activities": total,
        "operating_cash_flow": total,
    }


def _investing(course: Course, income: Figures, grown: Figures) -> Figures:
    plant = -(grown["property_plant_equipment_net"] + income["depreciation_and_amortization"])
    acquired = -(grown["goodwill"] + grown["intangible_assets"])
    invested = grown["short_term_investments"] + grown["long_term_investments"]
    bought = np.maximum(invested, 0.0) + _whole(course.revenue * 0.05 * course.swing(12, 1.0))
    return {
        "investments_in_property_plant_and_equipment": plant,
        "acquisitions_net": acquired,
        "purchases_of_investments": -bought,
        "sales_maturities_of_investments": bought - invested,
        "other_investing_activities": np.zeros_like(plant),
        "net_cash_provided_by_investing_activities": plant + acquired - invested,
    }


def _asset_sums(held: Figures) -> Figures:
    liquid = held["cash_and_cash_equivalents"] + held["short_term_investments"]
    receivables = held["accounts_receivables"] + held["other_receivables"]
    current = liquid + receivables + _sum(held, ("inventory", "prepaids", "other_current_assets"))
    unseen = held["goodwill"] + held["intangible_assets"]
    lasting = ("property_plant_equipment_net", "long_term_investments", "tax_assets", "other_non_current_assets")
    non_current = unseen + _sum(held, lasting)
    return {
        "cash_and_short_term_investments": liquid,
        "net_receivables": receivables,
        "total_current_assets": current,
        "goodwill_and_intangible_assets": unseen,
        "total_non_current_assets": non_current,
        "other_assets": np.zeros_like(current),
        "total_assets": current + non_current,
    }


def _liability_sums(held: Figures) -> Figures:
    payables = held["account_payables"] + held["tax_payables"]
    due = (
        "accrued_expenses",
        "short_term_debt",
        "capital_lease_obligations_current",
        "deferred_revenue",
        "other_current_liabilities",
    )
    later = (
        "long_term_debt",
        "capital_lease_obligations_non_current",
        "deferred_revenue_non_current",
        "deferred_tax_liabilities_non_current",
        "other_non_current_liabilities",
    )
    current, non_current = payables + _sum(held, due), _sum(held, later)
    leases = ("capital_lease_obligations_current", "capital_lease_obligations_non_current")
    return {
        "other_payables": held["tax_payables"],
        "total_payables": payables,
        "total_current_liabilities": current,
        "total_non_current_liabilities": non_current,
        "other_liabilities": np.zeros_like(current),
        "capital_lease_obligations": _sum(held, leases),
        "total_liabilities": current + non_current,
    }


def _equity(course: Course, total: Floats, flows: Figures) -> Figures:
    """Return equity's parts: what flowed in and out since the first column, on what the company began with."""
    earned = _piled_up(flows["net_income"] + flows["net_dividends_paid"])
    paid_in = _piled_up(flows["common_stock_issuance"] + flows["stock_based_compensation"])
    bought_back = _piled_up(flows["common_stock_repurchased"])
    ones, zero = np.ones_like(total), np.zeros_like(total)
    common, first_paid_in, other_income = (
        _whole(course.level[0] * share) for share in (COMMON_STOCK_SHARE, PAID_IN_SHARE, OTHER_INCOME_SHARE)
    )
    return {
        "treasury_stock": bought_back,
        "preferred_stock": zero,
        "common_stock": common * ones,
        "retained_earnings": total[0] - common - first_paid_in - other_income + earned,
        "additional_paid_in_capital": first_paid_in + paid_in,
        "accumulated_other_comprehensive_income_loss": other_income * ones,
        "other_total_stockholders_equity": zero,
        "total_stockholders_equity": total,
        "total_equity": total,
        "minority_interest": zero,
    }


def _piled_up(flow: Floats) -> Floats:
    """Return the sum of a flow up to each quarter; the column before the first quarter counts for nothing."""
    piled: Floats = np.cumsum(np.concatenate([[0.0], flow[1:]]))
    return piled


def _sum(figures: Figures, names: tuple[str, ...]) -> Floats:
    total: Floats = np.sum([figures[name] for name in names], axis=0)
    return total


def _whole(amounts: Floats) -> Floats:
    whole: Floats = np.rint(amounts / UNIT) * UNIT
    return whole
