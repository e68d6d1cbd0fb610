"""What was asked of an upstream: without secrets, counted, and how much of it at once."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

REDACTED = "[redacted]"
SECRET_HEADERS = frozenset({"authorization", "x-sessiontoken", "x-checksum", "cookie", "apikey"})
SECRET_PARAMETERS = frozenset({"access_token", "api_secret", "request_token", "checksum", "apikey"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is remembered.

    Attributes:
        method: in capitals; `WS` for a websocket.
        path: without the query.
        query: decoded, in order; secrets redacted.
        headers: by lower-case name; secrets redacted.
        api_key: whose it is; None when it does not say.
        at: when it arrived, on the monotonic clock.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    api_key: str | None
    at: float


def remembered(
    method: str, path: str, *, query: list[tuple[str, str]], headers: Mapping[str, str], api_key: str | None
) -> Request:
    """Make a request's record, redacted, as of now."""
    shown = tuple((name, REDACTED if name in SECRET_PARAMETERS else value) for name, value in query)
    safe = {name: REDACTED if name in SECRET_HEADERS else value for name, value in headers.items()}
    return Request(method, path, shown, safe, api_key, time.monotonic())


class Journal:
    """All requests of an upstream, in the order they came; read from any thread."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._in_flight = 0
        self._max_in_flight = 0
        self._changed = threading.Condition(threading.RLock())

    @contextmanager
    def record(self, request: Request) -> Iterator[None]:
        """Note a request, which is in flight until the block ends."""
        with self._changed:
            self._requests.append(request)
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    @property
    def requests(self) -> list[Request]:
        """Return what was asked so far."""
        with self._changed:
            return list(self._requests)

    @property
    def in_flight(self) -> int:
        """Return how many requests are being answered now."""
        with self._changed:
            return self._in_flight

    @property
    def max_concurrency(self) -> int:
        """Return how many requests were in flight at once at most."""
        with self._changed:
            return self._max_in_flight

    def count(self, path: str = "", *, api_key: str | None = None) -> int:
        """Count the requests whose path ends so, of one api_key or of all."""
        return sum(request.path.endswith(path) and api_key in {None, request.api_key} for request in self.requests)

    def wait_for(self, path: str, *, times: int = 1, api_key: str | None = None, seconds: float = 10) -> None:
        """Block until so many requests have come.

        Raises:
            TimeoutError: they have not.
        """
        if not self._wait(lambda: self.count(path, api_key=api_key) >= times, seconds):
            raise TimeoutError(f"{path} was asked {self.count(path, api_key=api_key)} times, not {times}")

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Block until nothing is in flight.

        Raises:
            TimeoutError: something still is.
        """
        if not self._wait(lambda: self.in_flight == 0, seconds):
            raise TimeoutError(f"{self.in_flight} requests are still in flight")

    def clear(self) -> None:
        """Forget what was asked; what is in flight stays so."""
        with self._changed:
            self._requests.clear()
            self._max_in_flight = self._in_flight

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(is_so, seconds)
