"""Ids of alerts: one number, later ones larger, known before the alert is in the database."""

from collections.abc import Callable

from chassis.clock import Clock

RANDOM_BITS = 22


class AlertIds:
    """Makes ids of 41 bits of milliseconds since 1970 and 22 random ones; two equal ones are refused when saved."""

    def __init__(self, clock: Clock, random_bits: Callable[[int], int]) -> None:
        """Make ids from a clock and a source of random bits, such as `secrets.randbits`."""
        self._clock = clock
        self._random_bits = random_bits

    def __call__(self) -> int:
        """Return a new id, above 0 and below 2 ** 63."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        return milliseconds << RANDOM_BITS | self._random_bits(RANDOM_BITS)
