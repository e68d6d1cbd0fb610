"""A circuit breaker: what keeps failing is left alone for a while."""

from chassis.clock import Clock

FAILURES_TO_OPEN = 3
REST_SECONDS = 10.0


class CircuitBreaker:
    """Refuses calls after some failures in a row; after a rest it lets one through to try.

    Args:
        clock: measures the rest.
        failures_to_open: how many failures in a row open it.
        rest_seconds: how long it then refuses every call.
    """

    def __init__(
        self, clock: Clock, *, failures_to_open: int = FAILURES_TO_OPEN, rest_seconds: float = REST_SECONDS
    ) -> None:
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._rest_seconds = rest_seconds
        self._failures = 0
        self._next_trial = 0.0
        self._rests_until = 0.0

    @property
    def is_open(self) -> bool:
        """Say whether the last calls failed so often that most are refused."""
        return self._failures >= self._failures_to_open

    def allows(self) -> bool:
        """Say whether a call may be made now; when open, a yes takes the one trial of this rest."""
        if not self.is_open:
            return True
        if self._clock.monotonic() < self._next_trial:
            return False
        self._next_trial = self._clock.monotonic() + self._rest_seconds
        return True

    def note_success(self) -> None:
        """Take into account that a call succeeded; one that began before `rest` was said ends no rest."""
        if self._clock.monotonic() >= self._rests_until:
            self._failures = 0

    def note_failure(self, retry_after_seconds: float | None = None) -> None:
        """Take into account that a call failed.

        Args:
            retry_after_seconds: when what failed says that another call may succeed; a rest is never longer. None
                when it does not say.
        """
        rest = self._rest_seconds if retry_after_seconds is None else min(self._rest_seconds, retry_after_seconds)
        self._failures += 1
        self._next_trial = max(self._clock.monotonic() + rest, self._rests_until)

    def rest(self, seconds: float | None = None) -> None:
        """Refuse every call from now on, for so many seconds; None is as long as after failures."""
        self._failures = max(self._failures + 1, self._failures_to_open)
        self._rests_until = self._clock.monotonic() + (self._rest_seconds if seconds is None else seconds)
        self._next_trial = self._rests_until
