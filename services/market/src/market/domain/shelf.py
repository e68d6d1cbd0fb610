"""Answers kept in this process; the least recently used go first."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from market.domain.answers import Answer

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Value]):
    """What is known of one key.

    Attributes:
        answer: what a source said; None when all that may know said that they know nothing.
        kept_at: since when it is here.
        serves_until: from when on sources are asked again.
        stands_in_until: from when on it is not given any more, even though sources fail.
    """

    answer: Answer[Value] | None
    kept_at: datetime
    serves_until: datetime
    stands_in_until: datetime

    def serves_at(self, moment: datetime) -> bool:
        """Say whether this may be given at `moment`; not before it was kept, when a clock was set back."""
        return self.kept_at <= moment < self.serves_until

    def stands_in_at(self, moment: datetime) -> bool:
        """Say whether this may be given at `moment` because sources fail."""
        return self.answer is not None and moment < self.stands_in_until


class Shelf(Generic[Value]):
    """What is kept of one capability.

    Args:
        max_entries: how many keys are kept.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._kept: OrderedDict[str, Kept[Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Kept[Value] | None:
        """Return what is kept of a key, however old; None when nothing is."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: str, kept: Kept[Value]) -> None:
        """Keep something in the place of what was there."""
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_entries:
            self._kept.popitem(last=False)
