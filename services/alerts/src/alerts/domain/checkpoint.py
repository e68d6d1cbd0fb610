"""How far the ticks were evaluated, and from where they have to be evaluated again after a crash."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.domain.continuity import NotEvaluated, PublisherShard
from alerts.domain.positions import Position


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Everything up to `position` was evaluated; `at` is the time of the last tick there, in the ticks' time."""

    position: Position
    at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a process leaves behind for the next one.

    Attributes:
        began_at: when ticks were evaluated for the first time ever.
        resume: everything up to here was evaluated and every fire that came of it is committed; ticks after it are
            evaluated again.
        evaluated: how far they were evaluated when the checkpoint was made, which is what `seen` describes.
        seen: the last batch of each publisher's shard.
    """

    began_at: datetime
    resume: Mark
    evaluated: Position
    seen: Sequence[PublisherShard]


@dataclass(frozen=True, slots=True)
class Progress:
    """A checkpoint with what was found missing since the last one; the two are saved together or not at all."""

    checkpoint: Checkpoint
    missing: Sequence[NotEvaluated]
