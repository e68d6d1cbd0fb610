"""Where a tick stands in the stream of ticks."""

from dataclasses import dataclass

SEQUENCE_BITS = 43


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the stream of ticks: an alert armed at it sees the ticks after it.

    The stream lives in its server's memory, so each of its lives is told apart by an ordinal, given out in the order
    in which the lives were first seen. Unlike the creation times that tell them apart, ordinals never run backwards.

    Attributes:
        stream: ordinal of the stream's life, from 1.
        sequence: the stream's own number of a message, from 1; 0 stands before the first.
    """

    stream: int
    sequence: int

    @property
    def packed(self) -> int:
        """Return the position as one number of 63 bits that orders like positions do."""
        return self.stream << SEQUENCE_BITS | self.sequence


NOWHERE = Position(0, 0)  # in front of every stream: where a first start ever begins
