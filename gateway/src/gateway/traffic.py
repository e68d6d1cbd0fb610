"""What requests are counted as: by route, method and status, never by what a client wrote into the address."""

from collections.abc import Callable

from chassis.metrics import Values, histogram
from gateway.clients import service_of
from gateway.dispatch import PathRoutes

NO_ROUTE = "none"
OTHER_METHOD = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_KNOWN_PATHS = 16_384
MAX_KNOWN_PATH_LENGTH = 1_024

SECONDS = histogram("bourse_http_seconds", "How long it took until an answer began.", ["route"])


class RouteTally:
    """What is counted of one route.

    Attributes:
        route: the route's template, such as `/api/alerts/{user_id}`; `none` for paths that are no route's.
        service: the service that answers it; None where the gateway does by itself.
        answers: how many there were, by method and status.
    """

    __slots__ = ("_observe", "answers", "route", "service")

    def __init__(self, route: str, service: str | None) -> None:
        self.route = route
        self.service = service
        self.answers: dict[tuple[str, int], int] = {}
        self._observe = SECONDS.labels(route).observe

    def count(self, method: str, status: int, seconds: float) -> None:
        """Count one answer, and how long it took until it began."""
        # A counter of the library's costs three times as much, and every answer that is ready waits for it.
        answers = self.answers
        answer = (method, status)
        answers[answer] = answers.get(answer, 0) + 1
        self._observe(seconds)


class Traffic:
    """Finds what a request is counted as; a ready answer must not wait for labels to be looked up."""

    def __init__(self, find: Callable[[str], PathRoutes | None]) -> None:
        self._find = find
        self._unknown = RouteTally(NO_ROUTE, None)
        self._by_route: dict[str, RouteTally] = {}
        self._by_path: dict[str, RouteTally] = {}

    def requests(self) -> Values:
        """Return how many requests were answered, by route, method and status."""
        requests: dict[tuple[str, ...], float] = {}
        for tally in (self._unknown, *self._by_route.values()):
            for (method, status), count in tally.answers.items():
                # The parser lets through methods that nobody has heard of for long; here they are one.
                labels = (tally.route, method if method in METHODS else OTHER_METHOD, str(status))
                requests[labels] = requests.get(labels, 0) + count
        return requests

    def tally_of(self, path: str) -> RouteTally:
        """Return the tally of a path."""
        return self._by_path.get(path) or self._found(path)

    def _found(self, path: str) -> RouteTally:
        routes = self._find(path)
        if routes is None:
            # These are without number: each that was remembered would push out one that comes again.
            return self._unknown
        tally = self._by_route.get(routes.path)
        if tally is None:
            tally = self._by_route[routes.path] = RouteTally(routes.path, _service_of(routes))
        if len(path) <= MAX_KNOWN_PATH_LENGTH:
            if len(self._by_path) >= MAX_KNOWN_PATHS:
                self._by_path.clear()
            self._by_path[path] = tally
        return tally


def _service_of(routes: PathRoutes) -> str | None:
    services = (service_of(route.dependant) for route in routes.by_method.values())
    return next((service for service in services if service is not None), None)
