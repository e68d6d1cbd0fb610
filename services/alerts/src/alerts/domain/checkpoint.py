"""How far the ticks of a shard were evaluated, and from where they have to be evaluated again after a crash."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.domain.continuity import NotEvaluated, PublisherShard
from alerts.domain.leases import Lease
from alerts.domain.positions import Position


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Everything up to `position` was evaluated; `at` is the time of the last tick there, in the ticks' time."""

    position: Position
    at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the holder of a shard leaves behind for the next one.

    Attributes:
        began_at: when ticks were evaluated for the first time ever.
        resume: everything up to here was evaluated and every fire that came of it is committed; ticks after it are
            evaluated again.
        evaluated: how far they were evaluated when the checkpoint was made, which is what `seen` describes.
        seen: the last batch of each publisher.
        repeats: where batches stand that were repetitions of earlier ones, the last of them; they are left out, too,
            when ticks are evaluated again.
    """

    began_at: datetime
    resume: Mark
    evaluated: Position
    seen: Sequence[PublisherShard]
    repeats: Sequence[Position] = ()


@dataclass(frozen=True, slots=True, order=True)
class TakenUp:
    """An arming that another replica has committed, and that is watched for since the checkpoint it is saved with."""

    alert_id: int
    generation: int
    armed_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """A checkpoint with what was found missing and taken up since the last one; all are saved together or not at all.

    It is saved only under the lease that it was made under.
    """

    lease: Lease
    checkpoint: Checkpoint
    missing: Sequence[NotEvaluated]
    taken_up: Sequence[TakenUp] = ()
