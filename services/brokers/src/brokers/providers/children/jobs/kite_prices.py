"""What children do with Kite Connect for the server-wide session: open it, read prices, list instruments."""

import math
from datetime import datetime
from typing import Any

from brokers.providers.children.jobs.kite import client_of, open_session, refusal_of
from brokers.providers.children.jobs.registry import Parameters, Secrets
from brokers.providers.children.refusals import ChildRefused, Refusal
from brokers.providers.children.wire import JSON

# What is listed, not what is derived from it.
_SEGMENTS = ("NSE", "BSE", "INDICES")
_QUOTE_FIELDS = ("last_price", "timestamp", "last_trade_time", "volume", "ohlc")


def session(secrets: Secrets, parameters: Parameters) -> JSON:
    """Open a session, leave it open, and return its access token.

    Args:
        secrets: `api_key`, `api_secret` and `request_token`.
        parameters: `root_url` and `timeout_seconds`.
    """
    return open_session(client_of(secrets["api_key"], parameters), secrets)["access_token"]


def quotes(secrets: Secrets, parameters: Parameters) -> JSON:
    """Return the fields of quotes that have a use here, by Kite's name of the instrument; unknown names are left out.

    Args:
        secrets: `api_key` and `access_token`.
        parameters: `instruments`, Kite's names, `root_url` and `timeout_seconds`.
    """
    found = _client(secrets, parameters).quote(parameters["instruments"])
    return {name: {field: plain(quote.get(field)) for field in _QUOTE_FIELDS} for name, quote in found.items()}


def instruments(secrets: Secrets, parameters: Parameters) -> JSON:
    """Return `[exchange, tradingsymbol, instrument_token]` of what some exchanges list, their indices included.

    Args:
        secrets: `api_key` and `access_token`.
        parameters: `exchanges`, `root_url` and `timeout_seconds`.
    """
    client = _client(secrets, parameters)
    return [
        [row["exchange"], row["tradingsymbol"], row["instrument_token"]]
        for exchange in parameters["exchanges"]
        for row in client.instruments(exchange)
        if row["segment"] in _SEGMENTS
    ]


def plain(value: JSON) -> JSON:
    """Return a value as JSON can carry it: times in ISO 8601, no number that is none."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def refusal_within_session(error: Exception) -> ChildRefused:
    """Say what an exception of the SDK means once a session is open: only a TokenException is about the session."""
    from kiteconnect.exceptions import TokenException  # noqa: PLC0415  # a child has it in memory, the service never

    refused = refusal_of(error)
    if refused.kind is Refusal.TOKEN_INVALID and not isinstance(error, TokenException):
        return ChildRefused(Refusal.UNAVAILABLE)
    return refused


def _client(secrets: Secrets, parameters: Parameters) -> Any:
    return client_of(secrets["api_key"], parameters, access_token=secrets["access_token"])
