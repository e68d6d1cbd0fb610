"""A circuit breaker: a broker that keeps failing is left alone for a while."""

from chassis.clock import Clock

FAILURES_TO_OPEN = 3
REST_SECONDS = 15.0


class CircuitBreaker:
    """Refuses calls after some failures in a row; after each rest it lets through who comes, until one fails again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._next_trial = 0.0

    def wait_seconds(self) -> float:
        """Return how long to leave the broker alone; 0 when it may be asked now."""
        if self._failures < FAILURES_TO_OPEN:
            return 0.0
        return max(0.0, self._next_trial - self._clock.monotonic())

    def note_success(self) -> None:
        """Take into account that a call succeeded."""
        self._failures = 0

    def note_failure(self) -> None:
        """Take into account that a call failed."""
        self._failures += 1
        self._next_trial = self._clock.monotonic() + REST_SECONDS
