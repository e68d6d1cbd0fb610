"""What `GET /api` answers: every operation once, under the group and name that the InvestAgent document gives it.

The document's names stand in one table; everything else is named by its tag and path, so that a new route needs none.
"""

import re
from collections.abc import Iterable

from gateway.pages.operations import Field, Operation

Entries = dict[str, dict[str, str]]

# By method and path, a parameter written `{}` whatever it is called; where the rule finds the document's name itself,
# nothing stands here.
NAMES = {
    "GET /api/stock/after-market-price": ("stocks", "aftermarket_prices"),
    "GET /api/stock/dividend/{}": ("dividends", "stock_dividends"),
    "GET /api/earnings": ("earnings", "calendar"),
    "GET /api/news/stock/{}": ("news", "stock_news"),
    "GET /api/exchange/hours": ("exchanges", "all_hours"),
    "GET /api/exchanges": ("exchanges", "list"),
    "GET /api/exchanges/list": ("exchanges", "exchanges_list"),
    "POST /api/email/portfolio-summary/{}": ("email", "send_portfolio_summary"),
    "GET /api/alerts/{}": ("alerts", "get_alerts"),
    "POST /api/alerts/{}": ("alerts", "add_alert"),
    "DELETE /api/alerts/{}": ("alerts", "delete_all_alerts"),
    "PUT /api/alerts/{}/{}/{}": ("alerts", "update_alert"),
    "DELETE /api/alerts/{}/{}/{}": ("alerts", "delete_alert"),
    "GET /api/watchlists/{}": ("watchlists", "get_all_watchlists"),
    "POST /api/watchlists/{}": ("watchlists", "create_watchlist"),
    "GET /api/watchlist/{}/{}": ("watchlists", "get_watchlist"),
    "POST /api/watchlist/{}/{}": ("watchlists", "update_watchlist"),
    "DELETE /api/watchlist/{}/{}": ("watchlists", "delete_watchlist"),
    "GET /api/portfolios/{}": ("portfolios", "get_all_portfolios"),
    "POST /api/portfolios/{}": ("portfolios", "create_portfolio"),
    "PUT /api/portfolios/{}/{}": ("portfolios", "edit_portfolio"),
    "DELETE /api/portfolios/{}/{}": ("portfolios", "delete_portfolio"),
    "POST /api/portfolios/{}/{}/stock": ("portfolios", "add_update_stock"),
    "DELETE /api/portfolios/{}/{}/stock/{}": ("portfolios", "remove_stock"),
}
GROUPS = {"stock": "stocks", "exchange": "exchanges", "index": "indices"}
"""The groups that the document names otherwise than the first part of the path."""
FRONT_PAGE = "documentation"


def list_endpoints(operations: Iterable[Operation]) -> Entries:
    """Return every operation's address by group and name."""
    entries: Entries = {}
    for operation in operations:
        group, name = named(operation)
        members = entries.setdefault(group, {})
        # Two methods of one path, or a path with and without a parameter, may come to the same name.
        while name in members:
            name = f"{name}_{operation.method.lower()}"
        members[name] = address_of(operation)
    return entries


def named(operation: Operation) -> tuple[str, str]:
    """Return an operation's group and name."""
    path = re.sub(r"\{[^}]*\}", "{}", operation.path)
    chosen = NAMES.get(f"{operation.method} {path}")
    if chosen is not None:
        return chosen
    literals = [part for part in operation.path.strip("/").split("/") if part and "{" not in part]
    if not literals:
        return operation.tag, FRONT_PAGE
    if literals[0] != "api":
        return operation.tag, _joined(literals)
    group = GROUPS.get("".join(literals[1:2]), operation.tag)
    return group, _joined(literals[2:] or literals[1:] or literals)


def address_of(operation: Operation) -> str:
    """Return an operation's address as the document writes it, the method behind it unless it is GET."""
    query = "&".join(
        f"{field.name}=<{_placeholder(field)}>" for field in operation.parameters if field.place == "query"
    )
    path = operation.path.replace("{", "<").replace("}", ">")
    method = "" if operation.method == "GET" else f" ({operation.method})"
    return f"{path}{'?' if query else ''}{query}{method}"


def _placeholder(field: Field) -> str:
    if field.choices:
        return "|".join(field.choices)
    return "YYYY-MM-DD" if field.type.startswith("date") and "time" not in field.type else field.name


def _joined(parts: list[str]) -> str:
    return "_".join(parts).replace("-", "_").replace(".", "_")
