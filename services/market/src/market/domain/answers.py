"""Answers of sources to questions of one kind, with where they come from and how long they serve."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from market.domain.quotes import Freshness, Provenance

Value = TypeVar("Value")

# How far another replica's clock may be ahead of ours. An answer from later than that would serve too long.
LONGEST_AHEAD = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What one source said.

    Attributes:
        value: what it said.
        source: the source's name.
        answered_at: when it said so.
        serves_until: from when on it is asked again.
        is_simulated: whether the source makes its answers up.
        is_stale: whether this outlived its time because sources fail.
    """

    value: Value
    source: str
    answered_at: datetime
    serves_until: datetime
    is_simulated: bool
    is_stale: bool = False

    @property
    def provenance(self) -> Provenance:
        """Say where it comes from: simulated, stale, or delayed, since none of these answers is of this second."""
        if self.is_simulated:
            return Provenance(self.source, self.answered_at, Freshness.SIMULATED)
        freshness = Freshness.STALE if self.is_stale else Freshness.DELAYED
        return Provenance(self.source, self.answered_at, freshness)

    def is_of(self, sources: Container[str], moment: datetime) -> bool:
        """Say whether this is a real answer of one of the sources, by name, that was not given after `moment`."""
        return self.source in sources and not self.is_simulated and self.answered_at - LONGEST_AHEAD <= moment
