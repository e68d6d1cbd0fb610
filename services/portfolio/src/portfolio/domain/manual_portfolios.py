"""Portfolios that users enter by hand."""

from dataclasses import dataclass

from chassis.errors import Code, ServiceError
from portfolio.domain.stock_entries import Stock

# All portfolios of a user travel in one answer, which may have 4 MiB.
MAX_PORTFOLIOS = 50
MAX_STOCKS = 500


class PortfolioNotFound(ServiceError):
    """The user has no such portfolio."""

    code = Code.NOT_FOUND
    reason = "PORTFOLIO_NOT_FOUND"

    def __init__(self, portfolio_id: int) -> None:
        super().__init__(f"there is no portfolio {portfolio_id}")


class StockNotFound(ServiceError):
    """The portfolio has no such stock."""

    code = Code.NOT_FOUND
    reason = "STOCK_NOT_FOUND"

    def __init__(self, symbol: str, portfolio_id: int) -> None:
        super().__init__(f"there is no {symbol} in portfolio {portfolio_id}")


class StocksEmpty(ServiceError):
    """No stock was given."""

    code = Code.INVALID_ARGUMENT
    reason = "STOCKS_EMPTY"

    def __init__(self) -> None:
        super().__init__("no stocks were given; at least one is needed")


class TooManyPortfolios(ServiceError):
    """The user has as many portfolios as there may be."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_PORTFOLIOS"

    def __init__(self) -> None:
        super().__init__(f"there are {MAX_PORTFOLIOS} portfolios, the most there can be; delete one first")


class TooManyStocks(ServiceError):
    """A portfolio was to have more stocks than there may be."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_STOCKS"

    def __init__(self, count: int) -> None:
        super().__init__(f"that makes {count} stocks; a portfolio has at most {MAX_STOCKS}")


@dataclass(frozen=True, slots=True)
class ManualPortfolio:
    """A portfolio with its stocks in the order they were first added, no instrument twice.

    Its id is no other portfolio's of any user.
    """

    id: int
    name: str
    stocks: tuple[Stock, ...]

    def stock_named(self, symbol: str) -> Stock | None:
        """Return the stock that was written as a symbol, upper case, or whose instrument it is; None without one."""
        for stock in self.stocks:
            if symbol in (stock.symbol, stock.instrument):
                return stock
        return None


def require_room_for_portfolio(count: int) -> None:
    """Refuse one portfolio more than there may be.

    Raises:
        TooManyPortfolios: there are fifty.
    """
    if count >= MAX_PORTFOLIOS:
        raise TooManyPortfolios


def require_stock_count(count: int) -> None:
    """Refuse more stocks than there may be.

    Raises:
        TooManyStocks: there would be more than 500.
    """
    if count > MAX_STOCKS:
        raise TooManyStocks(count)
