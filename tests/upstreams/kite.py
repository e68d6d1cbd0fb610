"""Kite Connect's REST API, version 3, as a server of its own.

Routes, envelopes, content types and errors are Kite's; accounts and prices are the test's. No limit on the rate is
kept: the journal says when what was asked, and `Fault.throttled` answers as Kite does beyond its limits.
"""

import csv
import io
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
from upstreams.faults import JSON_TYPE, kite_error
from upstreams.instruments import LISTINGS, Listing
from upstreams.kite_accounts import KiteAccount, KiteAccounts, KiteRefused
from upstreams.upstream import Call, Upstream

QUOTES_AT_ONCE = 500
PRICES_AT_ONCE = 1000
VERSION = "3"
CSV_COLUMNS = (
    *("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size"),
    *("lot_size", "instrument_type", "segment", "exchange"),
)
Handler = Callable[[Request], Awaitable[Response]]


class KiteUpstream(Upstream):
    """Kite's REST API.

    Attributes:
        accounts: who may log in; shared with the ticker.
        listings: the instruments, by `EXCHANGE:SYMBOL`; a price changes by putting another listing there.
    """

    def __init__(self, accounts: KiteAccounts, listings: Iterable[Listing] = LISTINGS) -> None:
        self.accounts = accounts
        self.listings = {listing.key: listing for listing in listings}
        super().__init__(Starlette(routes=self._routes(), exception_handlers={HTTPException: _unknown_route}))

    def api_key_of(self, call: Call) -> str | None:
        """Read it from the header, the form of a login, or the query of a logout."""
        key, colon, _ = call.headers.get("authorization", "").removeprefix("token ").partition(":")
        return (key if colon else None) or call.form.get("api_key") or dict(call.query).get("api_key")

    def _routes(self) -> list[Route]:
        return [
            Route("/session/token", _answering(self._open_session), methods=["POST"]),
            Route("/session/token", _answering(self._close_session), methods=["DELETE"]),
            Route("/user/profile", _answering(self._profile)),
            Route("/user/margins", _answering(self._margins)),
            Route("/user/margins/{segment}", _answering(self._margins)),
            Route("/portfolio/holdings", _answering(self._holdings)),
            Route("/portfolio/positions", _answering(self._positions)),
            Route("/quote", _answering(self._quotes)),
            Route("/quote/ohlc", _answering(self._bars)),
            Route("/quote/ltp", _answering(self._prices)),
            Route("/instruments", self._instruments),
            Route("/instruments/{exchange}", self._instruments),
            Route("/instruments/historical/{token:int}/{interval}", _answering(self._candles)),
        ]

    def _session_of(self, request: Request) -> KiteAccount:
        _require_version(request)
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        api_key, _, access_token = credentials.partition(":")
        if scheme != "token":
            raise KiteRefused(403, "TokenException", "Incorrect `api_key` or `access_token`.")
        return self.accounts.of_session(api_key, access_token)

    async def _open_session(self, request: Request) -> Any:
        _require_version(request)
        form = Call("POST", "", [], {}, await request.body()).form
        if missing := [name for name in ("api_key", "request_token", "checksum") if not form.get(name)]:
            raise KiteRefused(400, "InputException", f"Missing `{missing[0]}`.")
        account, token = self.accounts.exchange(form["api_key"], form["request_token"], form["checksum"])
        return payloads.kite_session(account.api_key, account.user_id, token)

    async def _close_session(self, request: Request) -> Any:
        _require_version(request)
        self.accounts.close(request.query_params.get("api_key", ""), request.query_params.get("access_token", ""))
        return True

    async def _profile(self, request: Request) -> Any:
        return payloads.kite_profile(self._session_of(request).user_id)

    async def _margins(self, request: Request) -> Any:
        self._session_of(request)
        margins = payloads.kite_margins()
        return margins[request.path_params["segment"]] if "segment" in request.path_params else margins

    async def _holdings(self, request: Request) -> Any:
        return self._session_of(request).holdings

    async def _positions(self, request: Request) -> Any:
        account = self._session_of(request)
        return {"net": account.net, "day": account.day}

    async def _quotes(self, request: Request) -> Any:
        return {listing.key: payloads.kite_quote(listing) for listing in self._asked(request, QUOTES_AT_ONCE)}

    async def _bars(self, request: Request) -> Any:
        return {listing.key: payloads.kite_bar(listing) for listing in self._asked(request, PRICES_AT_ONCE)}

    async def _prices(self, request: Request) -> Any:
        return {listing.key: payloads.kite_price(listing) for listing in self._asked(request, PRICES_AT_ONCE)}

    def _asked(self, request: Request, limit: int) -> list[Listing]:
        self._session_of(request)
        keys = request.query_params.getlist("i")
        if not keys:
            raise KiteRefused(400, "InputException", "Missing `i`.")
        if len(keys) > limit:
            raise KiteRefused(400, "InputException", f"Maximum of {limit} instruments are allowed.")
        return [self.listings[key] for key in dict.fromkeys(keys) if key in self.listings]

    async def _instruments(self, request: Request) -> Response:
        """Kite serves the list to anybody."""
        exchange = request.path_params.get("exchange")
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(
            _instrument_row(listing) for listing in self.listings.values() if exchange in {None, listing.exchange}
        )
        return Response(file.getvalue(), media_type="text/csv")

    async def _candles(self, request: Request) -> Any:
        self._session_of(request)
        token = request.path_params["token"]
        listing = next((listing for listing in self.listings.values() if listing.token == token), None)
        if listing is None:
            raise KiteRefused(400, "InputException", "Invalid token")
        first, last = (datetime.fromisoformat(request.query_params[name][:10]) for name in ("from", "to"))
        days = [first + timedelta(days=index) for index in range((last - first).days + 1)]
        return {"candles": [payloads.kite_candle(listing, day) for day in days if day.weekday() < 5]}


def _require_version(request: Request) -> None:
    if request.headers.get("x-kite-version") != VERSION:
        raise KiteRefused(400, "InputException", "Invalid or missing `X-Kite-Version`.")


def _instrument_row(listing: Listing) -> list[Any]:
    return [
        *(listing.token, listing.exchange_token, listing.symbol, listing.name, 0, listing.expiry, listing.strike, 0.05),
        *(listing.lot_size, listing.kind, listing.segment or listing.exchange, listing.exchange),
    ]


def _answering(handler: Callable[[Request], Awaitable[Any]]) -> Handler:
    """Put what a handler returns, or refuses, into Kite's envelope."""

    async def endpoint(request: Request) -> Response:
        try:
            envelope = json.dumps({"status": "success", "data": await handler(request)})
        except KiteRefused as refusal:
            body = kite_error(refusal.error_type, refusal.message)
            return Response(body, refusal.status, media_type=JSON_TYPE)
        return Response(envelope, media_type=JSON_TYPE)

    return endpoint


async def _unknown_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return Response(kite_error("GeneralException", "Route not found"), status, media_type=JSON_TYPE)
