"""The library's own session, with each request counted before it goes out and hopeless answers not asked for again.

To any error yfinance answers with another kind of cookie and a second try, up to seven requests for one failure. That
helps where a cookie or a crumb has died (401, 403), and is left to it; what else Yahoo answers is raised here at once.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

_DATA_HOSTS = frozenset({"query1.finance.yahoo.com", "query2.finance.yahoo.com", "finance.yahoo.com"})
SESSION_DIED = (401, 403)
_TOO_MANY = 429
_FIRST_ERROR, _FIRST_SERVER_ERROR = 400, 500
_LIMITS_TEXT = "Too Many Requests"
_LONGEST_PLAIN_TEXT = 200


class VendorLimits(Exception):
    """Yahoo says that it was asked too often."""


class VendorFailed(Exception):
    """Yahoo answered with a status that says nothing of what was asked."""


class AnsweredError(Exception):
    """Yahoo answered with an error that may say something of what was asked.

    Attributes:
        body: what it answered.
    """

    def __init__(self, body: str) -> None:
        self.body = body
        super().__init__("Yahoo answered with an error")


def guarded(session: Any, before_request: Callable[[], None], *, timeout_seconds: float) -> None:
    """Let a session count and judge what it is used for.

    Args:
        session: one that the library made, with `request` under all its methods.
        before_request: called ahead of each request; what it raises keeps the request from going out.
        timeout_seconds: how long each request may take; the library's own time-outs are longer.
    """
    request = session.request

    def counted(method: str, url: str, **arguments: Any) -> Any:
        before_request()
        arguments["timeout"] = min(arguments.get("timeout") or timeout_seconds, timeout_seconds)
        response = request(method=method, url=url, **arguments)
        if urlsplit(url).hostname in _DATA_HOSTS:
            _judge(response)
        return response

    session.request = counted


def _judge(response: Any) -> None:
    status = response.status_code
    if status == _TOO_MANY or _is_limits_page(response):
        raise VendorLimits
    if status >= _FIRST_SERVER_ERROR:
        raise VendorFailed
    if status >= _FIRST_ERROR and status not in SESSION_DIED:
        raise AnsweredError(response.text)


def _is_limits_page(response: Any) -> bool:
    """Say whether a few words, with status 200 too, are all that is answered: the crumb's address does so."""
    return len(response.content) <= _LONGEST_PLAIN_TEXT and _LIMITS_TEXT in response.text
