"""How many requests are worked on at once. Past that the rest are told so at once, and come back a second later.

A place is held from the time a request has no ready answer until its answer begins, but not while its client still
sends it. No one service's requests get all places: a service that has become slow must not take the others with it.
"""

from collections import Counter

from chassis.metrics import counter
from gateway.errors import UpstreamUnavailable

ALL_BUSY = "in_flight"
SERVICE_BUSY = "service"
FLIGHTS_BUSY = "flights"
SHARE_OF_ONE_SERVICE = 0.75
ALWAYS_ADMITTED = frozenset({"/livez", "/readyz", "/api/health"})

SHED = counter("bourse_http_shed", "Requests refused at once because others are being worked on.", ["why"])


class Overloaded(UpstreamUnavailable):
    """More is being worked on than may be; made when a request is refused for it.

    Args:
        why: which bound was reached.
    """

    def __init__(self, why: str) -> None:
        super().__init__("Too many requests are being worked on; try again shortly")
        SHED.labels(why).inc()


class Admission:
    """Counts the places that are taken.

    Attributes:
        in_flight: how many requests are being worked on.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._max_of_one_service = max(1, int(max_in_flight * SHARE_OF_ONE_SERVICE))
        self._by_service: Counter[str] = Counter()
        self.in_flight = 0

    def place_for(self, route: str, service: str | None) -> "Place":
        """Return a place for a request of a route, not taken yet."""
        return Place(self, service, is_counted=route not in ALWAYS_ADMITTED)

    def refusal(self, service: str | None) -> str | None:
        """Return which bound keeps a request from being worked on; None when none does."""
        if self.in_flight >= self._max_in_flight:
            return ALL_BUSY
        if service is not None and self._by_service[service] >= self._max_of_one_service:
            return SERVICE_BUSY
        return None

    def add(self, service: str | None, change: int) -> None:
        """Count places that were taken, or given back."""
        self.in_flight += change
        if service is not None:
            self._by_service[service] += change


class Place:
    """One request's place."""

    __slots__ = ("_admission", "_is_counted", "_is_held", "_service")

    def __init__(self, admission: Admission, service: str | None, *, is_counted: bool) -> None:
        self._admission = admission
        self._service = service
        self._is_counted = is_counted
        self._is_held = False

    @property
    def is_to_be_had(self) -> bool:
        """Say whether there is one."""
        return not self._is_counted or self._admission.refusal(self._service) is None

    def take(self) -> None:
        """Take it.

        Raises:
            Overloaded: there is none.
        """
        if self._is_held or not self._is_counted:
            return
        why = self._admission.refusal(self._service)
        if why is not None:
            raise Overloaded(why)
        self._admission.add(self._service, 1)
        self._is_held = True

    def give_back(self) -> bool:
        """Give it back; return whether it was held."""
        was_held = self._is_held
        if was_held:
            self._admission.add(self._service, -1)
        self._is_held = False
        return was_held
