"""Calls to one source: each with a time limit, and none while the source is being left alone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from chassis.clock import Clock
from market.domain.breaker import CircuitBreaker
from market.domain.capabilities import Capability, NothingKnown
from market.domain.source_failures import SILENT, SourceFailed, SourceRefused

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class Outcome(StrEnum):
    """How a call ended."""

    ANSWERED = "answered"
    NOTHING_KNOWN = "nothing_known"
    REFUSED = "refused"
    LATE = "late"
    FAILED = "failed"
    ABANDONED = "abandoned"


Witness = Callable[[str, Capability, Outcome, float], None]
"""Is told of each call: the source's name, the kind of question, how it ended, and how many seconds it took."""


def no_witness(_source: str, _capability: Capability, _outcome: Outcome, _seconds: float) -> None:
    """Witness nothing."""


class _Switch:
    """A circuit breaker, and the problem that opened it."""

    def __init__(self, clock: Clock) -> None:
        self.breaker = CircuitBreaker(clock)
        self.problem = SILENT

    def note(self, refusal: SourceRefused) -> None:
        self.problem = refusal.problem
        if refusal.opens_at_once:
            self.breaker.rest(refusal.retry_after_seconds)
            return
        self.breaker.note_failure(refusal.retry_after_seconds)


class SourceGuard:
    """Stands before one source: one circuit breaker for all it can be asked, and one a capability that it refuses.

    Args:
        name: the source's name.
        clock: measures how long it is left alone.
        witness: is told of each call.
    """

    def __init__(self, name: str, clock: Clock, witness: Witness = no_witness) -> None:
        self.name = name
        self._witness = witness
        self._clock = clock
        self._whole = _Switch(clock)
        self._of_capability: dict[Capability, _Switch] = {}

    @property
    def is_failing(self) -> bool:
        """Say whether the source is being left alone."""
        return self._whole.breaker.is_open

    def admit(self, capability: Capability) -> None:
        """Take the right to one call.

        Raises:
            SourceFailed: the source is being left alone.
        """
        for switch in (self._of_capability.get(capability), self._whole):
            if switch is not None and not switch.breaker.allows():
                raise SourceFailed(self.name, switch.problem)

    async def ask(self, capability: Capability, question: Callable[[], Awaitable[Value]], *, seconds: float) -> Value:
        """Make a call that was admitted.

        Raises:
            NothingKnown: the source answered that it knows nothing.
            SourceFailed: it did not answer in time, refused, or failed.
        """
        began, outcome = self._clock.monotonic(), Outcome.ABANDONED
        try:
            async with asyncio.timeout(seconds):
                answer = await question()
            outcome = Outcome.ANSWERED
        except NothingKnown:
            outcome = Outcome.NOTHING_KNOWN
            self._note_success(capability)
            raise
        except Exception as error:
            outcome = _outcome_of(error)
            raise self._failed(capability, error) from error
        finally:
            self._witness(self.name, capability, outcome, self._clock.monotonic() - began)
        self._note_success(capability)
        return answer

    def _note_success(self, capability: Capability) -> None:
        self._whole.breaker.note_success()
        if capability in self._of_capability:
            self._of_capability[capability].breaker.note_success()

    def _failed(self, capability: Capability, error: Exception) -> SourceFailed:
        refusal = error if isinstance(error, SourceRefused) else SourceRefused(SILENT)
        switch = self._whole
        if refusal.is_of_capability:
            switch = self._of_capability.setdefault(capability, _Switch(self._clock))
        switch.note(refusal)
        cause = {"error": type(error).__name__, "problem": refusal.problem}
        log.warning("source failed", extra={"source": self.name, "capability": capability.value, **cause})
        return SourceFailed(self.name, refusal.problem)


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, SourceRefused):
        return Outcome.REFUSED
    return Outcome.LATE if isinstance(error, TimeoutError) else Outcome.FAILED
