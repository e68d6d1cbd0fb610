"""What children do with Breeze for the server-wide session: open it, read prices."""

from typing import Any

from brokers.providers.children.jobs.breeze import client_of, refusal_of, rows_of, sdk
from brokers.providers.children.jobs.kite_prices import plain
from brokers.providers.children.jobs.registry import Parameters, Secrets
from brokers.providers.children.refusals import ChildRefused, Refusal
from brokers.providers.children.wire import JSON

_QUOTE_FIELDS = ("exchange_code", "ltp", "ltt", "open", "high", "low", "previous_close", "total_quantity_traded")


def session(secrets: Secrets, parameters: Parameters) -> JSON:
    """Open a session and return what the SDK needs to go on with it, `user_id:session_key`.

    Args:
        secrets: `api_key`, `api_secret` and `api_session`.
        parameters: `root_url`, None for ICICI's own hosts.
    """
    client = client_of(secrets["api_key"], parameters)
    client.generate_session(secrets["api_secret"], secrets["api_session"])
    return f"{client.user_id}:{client.session_key}"


def quotes(secrets: Secrets, parameters: Parameters) -> JSON:
    """Return `[exchange, stock code, rows]` of each stock that ICICI knows.

    A stock that ICICI answers nonsense for is left out; when it stops answering, what it had answered is returned.

    Args:
        secrets: `api_key`, `api_secret` and `session`, as `session` returned it.
        parameters: `stocks`, pairs of exchange and stock code, and `root_url`, None for ICICI's own hosts.
    """
    client = _resumed(secrets, parameters)
    found: list[JSON] = []
    failure: ChildRefused | None = None
    for exchange, code in parameters["stocks"]:
        try:
            found.append([exchange, code, _quotes_of(client, exchange, code)])
        except Exception as error:  # noqa: BLE001  # the SDK raises what it likes
            failure = error if isinstance(error, ChildRefused) else refusal_of(error)
            if failure.kind is not Refusal.INVALID_ANSWER:
                break
    if failure is not None and (not found or failure.kind is Refusal.TOKEN_INVALID):
        raise failure
    return found


def _resumed(secrets: Secrets, parameters: Parameters) -> Any:
    """Return a client that goes on with a session; the SDK itself can only open one."""
    module = sdk(parameters)
    client = client_of(secrets["api_key"], parameters)
    client.user_id, _, client.session_key = secrets["session"].partition(":")
    client.secret_key = secrets["api_secret"]
    client.api_handler = module.ApificationBreeze(client)
    return client


def _quotes_of(client: Any, exchange: str, code: str) -> JSON:
    answer = client.get_quotes(
        stock_code=code, exchange_code=exchange, expiry_date="", product_type="cash", right="", strike_price=""
    )
    return [{field: plain(row.get(field)) for field in _QUOTE_FIELDS} for row in rows_of(answer)]
