"""What children ask of Kite Connect, with the unmodified SDK."""

from contextlib import suppress
from typing import Any

from brokers.providers.children.jobs.registry import Parameters, Secrets
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal, token_refused
from brokers.providers.children.transport import TOO_MANY_REQUESTS, transport_refusal
from brokers.providers.children.wire import JSON

LOG_OUT_SECONDS = 2.0
INTERNAL_SERVER_ERROR = 500

# What Kite's sentences name when they refuse credentials; the first that occurs counts.
_NAMED = (
    ("checksum", Problem.CHECKSUM),
    ("api_key", Problem.API_KEY),
    ("api key", Problem.API_KEY),
    ("request_token", Problem.ONE_TIME_CODE),
    ("token", Problem.ONE_TIME_CODE),
)


def portfolio(secrets: Secrets, parameters: Parameters) -> JSON:
    """Open a session, read holdings and positions, and close the session.

    Args:
        secrets: `api_key`, `request_token`, and `api_secret` or `checksum`.
        parameters: `root_url` and `timeout_seconds`.
    """
    client = client_of(secrets["api_key"], parameters)
    open_session(client, secrets)
    try:
        return {"holdings": client.holdings(), "positions": client.positions()}
    except Exception as error:  # noqa: BLE001  # an SDK raises what it likes
        raise _within_session(refusal_of(error)) from None
    finally:
        log_out(client)


def client_of(api_key: str, parameters: Parameters, *, access_token: str | None = None) -> Any:
    """Return the SDK's client; a server of our own is reached by its `root` argument."""
    from kiteconnect import KiteConnect  # noqa: PLC0415  # a child has it in memory, the service never

    return KiteConnect(
        api_key, access_token=access_token, root=parameters["root_url"], timeout=parameters["timeout_seconds"]
    )


def open_session(client: Any, secrets: Secrets) -> JSON:
    """Exchange the one-time code for a session and return Kite's answer.

    With a checksum of the client's own, the exchange is the very call that the SDK's `generate_session` makes after
    it has computed one; the SDK has no argument for it.
    """
    secret = secrets.get("api_secret")
    if secret is not None:
        return client.generate_session(secrets["request_token"], secret)
    exchange = {
        "api_key": secrets["api_key"],
        "request_token": secrets["request_token"],
        "checksum": secrets["checksum"].lower(),
    }
    session = client._post("api.token", params=exchange)  # noqa: SLF001  # see above
    client.set_access_token(session["access_token"])
    return session


def log_out(client: Any) -> None:
    """End the session, whose token nobody but this child has; one that could not be ended dies at six by itself."""
    client.timeout = LOG_OUT_SECONDS
    with suppress(Exception):
        client.invalidate_access_token()


def refusal_of(error: Exception) -> ChildRefused:
    """Say what an exception of the SDK means."""
    from kiteconnect import exceptions as kite  # noqa: PLC0415  # a child has it in memory, the service never

    if not isinstance(error, kite.KiteException):
        return transport_refusal(error) or ChildRefused(Refusal.INVALID_ANSWER)
    text = str(error).lower()
    if error.code == TOO_MANY_REQUESTS or "too many" in text:
        return ChildRefused(Refusal.THROTTLED)
    problem = _problem_of(error, text)
    if problem is not None:
        return token_refused(problem)
    is_down = error.code >= INTERNAL_SERVER_ERROR and not isinstance(error, kite.DataException)
    return ChildRefused(Refusal.UNAVAILABLE if is_down else Refusal.INVALID_ANSWER)


def _problem_of(error: Exception, text: str) -> Problem | None:
    """Return what Kite finds wrong with the credentials; None when the error is about something else."""
    from kiteconnect import exceptions as kite  # noqa: PLC0415  # a child has it in memory, the service never

    if isinstance(error, kite.TokenException):
        return _named(text) or Problem.ONE_TIME_CODE
    if isinstance(error, kite.PermissionException):
        return Problem.PERMISSION
    return _named(text) if isinstance(error, kite.InputException) else None


def _named(text: str) -> Problem | None:
    return next((problem for name, problem in _NAMED if name in text), None)


def _within_session(refused: ChildRefused) -> ChildRefused:
    """Once the session is open, a refused token is not the one-time code."""
    if refused.problem is Problem.ONE_TIME_CODE:
        return token_refused(Problem.SESSION)
    return refused
