"""ICICI's Breeze API as a server of its own: version 1, the historical charts of version 2, the SecurityMaster.

Breeze reads JSON bodies of GETs and answers HTTP 200 to everything; an error is in the envelope.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from upstreams import payloads
from upstreams.breeze_accounts import BreezeAccount, BreezeAccounts, BreezeRefused, is_checksum
from upstreams.instruments import LISTINGS, Listing
from upstreams.security_master import security_master
from upstreams.upstream import Call, Upstream

API = "/breezeapi/api/v1"
NEW_API = "/api/v2"
SECURITY_MASTER = "/MotherAppMaster/SecurityMaster.zip"
ROOTS = ("/breezeapi/", "/api/v2/", "/MotherAppMaster/")
ENVELOPE_TYPE = "application/json; charset=utf-8"
TIMESTAMP = "%Y-%m-%dT%H:%M:%S.000Z"
Handler = Callable[[Request], Awaitable[Response]]


class BreezeUpstream(Upstream):
    """Breeze's REST API.

    Attributes:
        accounts: who may log in.
        listings: the shares, by `EXCHANGE:SYMBOL`; a price changes by putting another listing there.
    """

    def __init__(self, accounts: BreezeAccounts, listings: Iterable[Listing] = LISTINGS) -> None:
        self.accounts = accounts
        self.listings = {listing.key: listing for listing in listings}
        super().__init__(Starlette(routes=self._routes(), exception_handlers={HTTPException: _unknown_route}))

    def api_key_of(self, call: Call) -> str | None:
        """Read it from a call's header or a login's body."""
        return call.headers.get("x-appkey") or call.headers.get("apikey") or call.document.get("AppKey")

    def _routes(self) -> list[Route]:
        return [
            Route(f"{API}/customerdetails", _answering(self._customer)),
            Route(f"{API}/portfolioholdings", _answering(self._holdings)),
            Route(f"{API}/dematholdings", _answering(self._demat)),
            Route(f"{API}/portfoliopositions", _answering(self._positions)),
            Route(f"{API}/quotes", _answering(self._quotes)),
            Route(f"{API}/funds", _answering(self._funds)),
            Route(f"{NEW_API}/historicalcharts", _answering(self._candles)),
            Route(SECURITY_MASTER, self._security_master),
        ]

    async def _customer(self, request: Request) -> Any:
        body = _document(await request.body())
        account = self.accounts.of_key(str(body.get("AppKey", "")))
        account.spend(str(body.get("SessionToken", "")))
        return payloads.breeze_customer(account.user_id, account.session_token(account.new_session_key()))

    async def _signed(self, request: Request) -> tuple[BreezeAccount, dict[str, Any]]:
        headers = request.headers
        account = self.accounts.of_session(headers.get("x-appkey", ""), headers.get("x-sessiontoken", ""))
        timestamp = headers.get("x-timestamp", "")
        body = await request.body()
        if not _is_timestamp(timestamp):
            raise BreezeRefused(401, "Invalid timestamp.")
        if not is_checksum(account, headers.get("x-checksum", ""), timestamp=timestamp, body=body):
            raise BreezeRefused(401, "Unauthorized access.")
        return account, _document(body)

    async def _holdings(self, request: Request) -> Any:
        account, asked = await self._signed(request)
        exchange, stock = asked.get("exchange_code"), asked.get("stock_code")
        rows = [row for row in account.holdings if row.get("exchange_code") == exchange]
        return _rows(account, [row for row in rows if stock in {None, row.get("stock_code")}])

    async def _demat(self, request: Request) -> Any:
        account, _ = await self._signed(request)
        return _rows(account, account.demat)

    async def _positions(self, request: Request) -> Any:
        account, _ = await self._signed(request)
        return _rows(account, account.positions)

    async def _quotes(self, request: Request) -> Any:
        _, asked = await self._signed(request)
        found = self._share(asked.get("exchange_code"), asked.get("stock_code"))
        if found is None:
            raise BreezeRefused(404, "No Data Found")
        return [payloads.breeze_quote(found)]

    async def _funds(self, request: Request) -> Any:
        await self._signed(request)
        return payloads.breeze_funds()

    async def _candles(self, request: Request) -> Any:
        self.accounts.of_session(request.headers.get("apikey", ""), request.headers.get("x-sessiontoken", ""))
        asked = request.query_params
        found = self._share(asked.get("exch_code"), asked.get("stock_code"))
        if found is None:
            return []
        first, last = (datetime.fromisoformat(asked[name][:10]) for name in ("from_date", "to_date"))
        days = [first + timedelta(days=index) for index in range((last - first).days + 1)]
        return [payloads.breeze_candle(found, day) for day in days if day.weekday() < 5]

    async def _security_master(self, _: Request) -> Response:
        """Anybody may have it."""
        return Response(security_master(self.listings.values()), media_type="application/x-zip-compressed")

    def _share(self, exchange: str | None, code: str | None) -> Listing | None:
        shares = (share for share in self.listings.values() if share.exchange == exchange)
        return next((share for share in shares if share.icici_code == code), None)


def _document(body: bytes) -> dict[str, Any]:
    return Call("GET", "", [], {}, body).document


def _is_timestamp(text: str) -> bool:
    try:
        return bool(datetime.strptime(text, TIMESTAMP))  # noqa: DTZ007  # only its form matters
    except ValueError:
        return False


def _rows(account: BreezeAccount, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not rows and not account.answers_empty_lists:
        raise BreezeRefused(404, "No Data Found")
    return rows


def _answering(handler: Callable[[Request], Awaitable[Any]]) -> Handler:
    """Put what a handler returns, or refuses, into Breeze's envelope."""

    async def endpoint(request: Request) -> Response:
        try:
            return _envelope(await handler(request), 200, None)
        except BreezeRefused as refusal:
            return _envelope(None, refusal.status, refusal.error)

    return endpoint


def _envelope(success: Any, status: int, error: str | None) -> Response:
    return Response(json.dumps({"Success": success, "Status": status, "Error": error}), media_type=ENVELOPE_TYPE)


async def _unknown_route(_: Request, error: Exception) -> Response:
    return _envelope(None, error.status_code if isinstance(error, HTTPException) else 500, "Resource not found.")
