"""What a failed call means to `requests`, for both SDKs, and the timeout that Breeze gives to none of its calls."""

from collections.abc import Callable, Iterator
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions

from brokers.providers.children.refusals import ChildRefused, Refusal

TOO_MANY_REQUESTS = 429
FIRST_SERVER_ERROR = 500
# The longest there is lists an exchange's instruments, in some megabytes.
MAX_BODY_BYTES = 32 * 1024 * 1024

# urllib3 counts a refused connection among its timeouts, so that only those of reading are taken.
_TIMEOUTS = (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
_TRANSPORT = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, requests.exceptions.ContentDecodingError)


def guard_requests(*, timeout_seconds: float, follows_redirects: bool = False) -> None:
    """Give every call of this process a timeout, every answer a bound, and tell errors that the SDKs do not look at.

    An SDK that passes no timeout makes `requests` wait for ever, whatever the sockets' default is.

    Args:
        timeout_seconds: how long a call may wait that says nothing of its own.
        follows_redirects: lets an answer send the call elsewhere; `requests` takes bodies and all headers but
            `Authorization` along, so never where credentials are in them.
    """
    send = requests.adapters.HTTPAdapter.send

    def guarded_send(adapter: Any, request: Any, **options: Any) -> requests.Response:
        if options.get("timeout") is None:
            options["timeout"] = timeout_seconds
        answer = send(adapter, request, **options)
        if answer.is_redirect and not follows_redirects:
            raise ChildRefused(Refusal.INVALID_ANSWER)
        _require_answer(answer)
        answer.iter_content = _bounded(answer.iter_content)  # type: ignore[method-assign]
        return answer

    requests.adapters.HTTPAdapter.send = guarded_send  # type: ignore[assignment,method-assign]


def transport_refusal(error: BaseException) -> ChildRefused | None:
    """Return what an error, or what it was raised in place of, says about the transport; None when nothing."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, ChildRefused):
            return found
    if any(isinstance(found, _TIMEOUTS) for found in chain):
        return ChildRefused(Refusal.TIMEOUT)
    if any(isinstance(found, _NONSENSE) for found in chain):
        return ChildRefused(Refusal.INVALID_ANSWER)
    if any(isinstance(found, _TRANSPORT) for found in chain):
        return ChildRefused(Refusal.UNAVAILABLE)
    return None


def _bounded(iter_content: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Bound what is read of a body, as it is without its compression: one without end would fill the memory."""

    def bounded_iter_content(*arguments: Any, **options: Any) -> Iterator[Any]:
        left = MAX_BODY_BYTES
        for portion in iter_content(*arguments, **options):
            left -= len(portion)
            if left < 0:
                raise ChildRefused(Refusal.INVALID_ANSWER)
            yield portion

    return bounded_iter_content


def _require_answer(answer: requests.Response) -> None:
    """Refuse an error's page; an error in JSON is the SDK's to read."""
    if "json" in answer.headers.get("content-type", ""):
        return
    if answer.status_code == TOO_MANY_REQUESTS:
        raise ChildRefused(Refusal.THROTTLED)
    if answer.status_code >= FIRST_SERVER_ERROR:
        raise ChildRefused(Refusal.UNAVAILABLE)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it wraps and what it came from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        yield from (part for part in found.args if isinstance(part, BaseException))
        found = found.__cause__ or found.__context__
