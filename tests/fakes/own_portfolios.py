"""Portfolios entered by hand, with behaviour and without a database."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from bourse.portfolio.v1 import manual_portfolios_pb2 as pb
from bourse.portfolio.v1 import manual_portfolios_pb2_grpc
from chassis.errors import Code
from fakes.faults import Refusal
from fakes.watchlists import NAMES

MAX_NAME_LENGTH = 100


class FakeOwnPortfolios:
    """Portfolios by user."""

    def __init__(self, meet: Callable[[str, Any], Awaitable[None]]) -> None:
        self._meet = meet
        self._last_id = 0
        self.portfolios: dict[str, list[pb.ManualPortfolio]] = {}
        self.puts: list[pb.PutStocksRequest] = []
        self.max_portfolios = 50
        self.max_stocks = 500

    def _found(self, request: Any) -> pb.ManualPortfolio:
        for portfolio in self.portfolios.get(request.user_id, []):
            if portfolio.id == request.portfolio_id:
                return portfolio
        raise Refusal(Code.NOT_FOUND, "PORTFOLIO_NOT_FOUND", f"there is no portfolio {request.portfolio_id}")

    async def ListPortfolios(self, request: pb.ListPortfoliosRequest, context: Any) -> pb.ListPortfoliosResponse:
        await self._meet("ListPortfolios", context)
        return pb.ListPortfoliosResponse(portfolios=self.portfolios.get(request.user_id, []))

    async def CreatePortfolio(self, request: pb.CreatePortfolioRequest, context: Any) -> pb.CreatePortfolioResponse:
        await self._meet("CreatePortfolio", context)
        own = self.portfolios.setdefault(request.user_id, [])
        _require_name(request.name)
        if len(own) >= self.max_portfolios:
            limit = f"there are {self.max_portfolios} portfolios, the most there can be; delete one first"
            raise Refusal(Code.RESOURCE_EXHAUSTED, "TOO_MANY_PORTFOLIOS", limit)
        self._last_id += 1
        own.append(pb.ManualPortfolio(id=self._last_id, name=request.name))
        return pb.CreatePortfolioResponse(portfolio=own[-1])

    async def RenamePortfolio(self, request: pb.RenamePortfolioRequest, context: Any) -> pb.RenamePortfolioResponse:
        await self._meet("RenamePortfolio", context)
        _require_name(request.name)
        portfolio = self._found(request)
        portfolio.name = request.name
        return pb.RenamePortfolioResponse(portfolio=portfolio)

    async def DeletePortfolio(self, request: pb.DeletePortfolioRequest, context: Any) -> pb.DeletePortfolioResponse:
        await self._meet("DeletePortfolio", context)
        self.portfolios.setdefault(request.user_id, []).remove(self._found(request))
        return pb.DeletePortfolioResponse()

    async def PutStocks(self, request: pb.PutStocksRequest, context: Any) -> pb.PutStocksResponse:
        await self._meet("PutStocks", context)
        self.puts.append(request)
        portfolio = self._found(request)
        if not request.stocks:
            raise Refusal(Code.INVALID_ARGUMENT, "STOCKS_EMPTY", "no stocks were given; at least one is needed")
        _require_sound(request.stocks)
        stocks = {stock.instrument: stock for stock in portfolio.stocks}
        for entry in request.stocks:
            stock = pb.Stock(symbol=entry.symbol.upper(), instrument=_instrument_of(entry.symbol))
            stock.quantity, stock.total_cost = entry.quantity, entry.total_cost
            stocks[stock.instrument] = stock
        if len(stocks) > self.max_stocks:
            limit = f"that makes {len(stocks)} stocks; a portfolio has at most {self.max_stocks}"
            raise Refusal(Code.INVALID_ARGUMENT, "TOO_MANY_STOCKS", limit)
        del portfolio.stocks[:]
        portfolio.stocks.extend(stocks.values())
        return pb.PutStocksResponse(portfolio=portfolio, processed=len(request.stocks))

    async def RemoveStock(self, request: pb.RemoveStockRequest, context: Any) -> pb.RemoveStockResponse:
        await self._meet("RemoveStock", context)
        portfolio = self._found(request)
        for stock in portfolio.stocks:
            if stock.instrument == _instrument_of(request.symbol):
                portfolio.stocks.remove(stock)
                return pb.RemoveStockResponse(symbol=stock.symbol)
        missing = f"there is no {request.symbol.upper()} in portfolio {request.portfolio_id}"
        raise Refusal(Code.NOT_FOUND, "STOCK_NOT_FOUND", missing)

    def registrations(self) -> list[Callable[[Any], None]]:
        fake: Any = self
        return [lambda server: manual_portfolios_pb2_grpc.add_ManualPortfolioServiceServicer_to_server(fake, server)]


def _instrument_of(symbol: str) -> str:
    return symbol.upper() if ":" in symbol else f"NASDAQ:{symbol.upper()}"


def _require_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_LENGTH:
        message = (
            f"a name has 1 to {MAX_NAME_LENGTH} characters, none of them a control character, and not blanks alone"
        )
        raise Refusal(Code.INVALID_ARGUMENT, "NAME_INVALID", message)


def _require_sound(entries: Any) -> None:
    faults, seen = [], set()
    for number, entry in enumerate(entries, 1):
        instrument = _instrument_of(entry.symbol)
        wrong = [] if instrument in NAMES else ["it names no known instrument"]
        if Decimal(entry.quantity) <= 0:
            wrong.append(f"quantity '{entry.quantity}' is not above 0")
        if instrument in seen:
            wrong.append("it is the same stock as an earlier row")
        seen.add(instrument)
        if wrong:
            faults.append(f"row {number} ({entry.symbol.upper()}): {', '.join(wrong)}")
    if faults:
        raise Refusal(Code.INVALID_ARGUMENT, "STOCKS_INVALID", f"nothing was changed: {'; '.join(faults)}")
