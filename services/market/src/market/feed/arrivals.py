"""When ticks were last published here, or heard of from others."""

from collections.abc import Mapping

from chassis.clock import Clock


class Arrivals:
    """Remembers by source when ticks went out or came in last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[str, float] = {}

    def note(self, source: str) -> None:
        """Take into account that ticks of a source were published or heard just now."""
        self._newest[source] = self._clock.monotonic()

    def ages(self) -> Mapping[tuple[str, ...], float]:
        """Return how many seconds ago that was, by source; a source without ticks so far is left out."""
        now = self._clock.monotonic()
        return {(source,): now - at for source, at in self._newest.items()}
