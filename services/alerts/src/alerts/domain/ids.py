"""Ids of alerts: one number, later ones larger, known before the alert is in the database."""

from collections.abc import Callable
from datetime import datetime

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
        return first_id_of(self._clock.now()) | self._random_bits(RANDOM_BITS)


def first_id_of(moment: datetime) -> int:
    """Return the least id that is made at a moment; all that were made before are less."""
    return int(moment.timestamp() * 1000) << RANDOM_BITS
