"""How many requests are worked on at once. Past that the rest are told so at once, and come back a second later.

A place is held from the time a request has no ready answer until its answer begins, but not while its client still
sends it. No one service's requests get all places: a service that has become slow must not take the others with it.

Many may wait for services; few may have this process compute, or everybody waits for everybody, ready answers too. How
many that is depends on the machine. The event loop's lag tells: while it is late there are fewer places, by a share of
those there were; when it is in time again there are more, step by step, up to the setting.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.metrics import counter
from chassis.tasks import running
from gateway.errors import UpstreamUnavailable

ALL_BUSY = "in_flight"
LATE = "lag"
SERVICE_BUSY = "service"
FLIGHTS_BUSY = "flights"
SHARE_OF_ONE_SERVICE = 0.75
ALWAYS_ADMITTED = frozenset({"/livez", "/readyz", "/api/health"})

LOOK_SECONDS = 0.05
MAX_LAG_SECONDS = 0.05
SHRINKING = 0.7
GROWING = 0.01
LEAST_PLACES = 32

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
        places: how many may be at the moment; at most `max_in_flight`.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._by_service: Counter[str] = Counter()
        self.places = float(max_in_flight)
        self.in_flight = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look how late the event loop is until the block is left."""
        async with running(self._watch()):
            yield

    def note_lag(self, seconds: float) -> None:
        """Have fewer places when the event loop is late and that many requests may be why; else more."""
        if seconds <= MAX_LAG_SECONDS:
            self.places = min(self._max_in_flight, self.places + self._max_in_flight * GROWING)
        elif self.in_flight > self.places / 2:
            least = min(LEAST_PLACES, self._max_in_flight)
            self.places = max(least, self.places * SHRINKING)

    def place_for(self, route: str, service: str | None) -> "Place":
        """Return a place for a request of a route, not taken yet."""
        return Place(self, service, is_counted=route not in ALWAYS_ADMITTED)

    def refusal(self, service: str | None) -> str | None:
        """Return which bound keeps a request from being worked on; None when none does."""
        if self.in_flight >= self._max_in_flight:
            return ALL_BUSY
        if self.in_flight >= self.places:
            return LATE
        if service is not None and self._by_service[service] >= self._max_in_flight * SHARE_OF_ONE_SERVICE:
            return SERVICE_BUSY
        return None

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self.note_lag(loop.time() - wanted)

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
        if not self.is_to_be_had:
            raise self.refused()
        self._admission.add(self._service, 1)
        self._is_held = True

    def refused(self) -> Overloaded:
        """Return the error for a request that gets none, and count it."""
        return Overloaded(self._admission.refusal(self._service) or ALL_BUSY)

    def give_back(self) -> bool:
        """Give it back; return whether it was held."""
        was_held = self._is_held
        if was_held:
            self._admission.add(self._service, -1)
        self._is_held = False
        return was_held
