"""The heart of the service: what happens to alerts and ticks between two awaits.

Nothing here waits or does I/O, so each method is one step that no other interleaves with. What makes a fire happen
exactly once:

- An alert is watched for before it is committed, so no tick falls between the two; what fires it is held until the
  commit is known to have happened.
- A fire stays pending until its compare-and-swap is committed, which also asks whether the alert that the database has
  by then is really reached.
- The checkpoint stays in front of every pending fire and of every position at which an alert is being armed, so that
  whatever a crash takes from memory is evaluated again, against the alerts the database has by then.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from alerts.domain.alerts import Alert, AlertType, FiringPrice
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import Admission, Continuity, NotEvaluated, Reason, StreamView, resume
from alerts.domain.matcher import Crossing, Entry, Matcher
from alerts.domain.positions import Position
from alerts.domain.targets import threshold_of
from alerts.domain.ticks import TickBatch


@dataclass(frozen=True, slots=True)
class Candidate:
    """An arming of an alert that a tick has reached; it fires if the database still has it armed.

    Attributes:
        alert_id: identifies the alert.
        generation: says which arming of the alert was reached.
        price: the price that reached it.
        publisher_id: names the publisher of the tick.
        epoch: the publisher's epoch.
        shard: the tick's shard.
        sequence: the batch's sequence in that shard and epoch.
        position: where the batch stands in the stream.
        mark: how far everything was evaluated before that batch.
    """

    alert_id: int
    generation: int
    price: FiringPrice
    publisher_id: str
    epoch: int
    shard: int
    sequence: int
    position: Position
    mark: Mark


@dataclass(slots=True)
class _Arming:
    """An alert being committed: where it is armed, and what has reached it meanwhile."""

    mark: Mark
    reached: list[Candidate] = field(default_factory=list)


def entry_of(alert: Alert, armed: Position) -> Entry:
    """Return what the matcher needs to know of an alert that is armed at a position."""
    return Entry(
        alert_id=alert.id,
        generation=alert.generation,
        instrument=alert.instrument,
        type=alert.type,
        threshold=threshold_of(alert.type, alert.price),
        armed=armed.packed,
    )


def is_reached(alert: Alert, candidate: Candidate) -> bool:
    """Say whether a candidate's price reaches an armed alert as the database has it.

    An alert whose commit may have failed stays watched for, and the next attempt to set it is of the same generation:
    what reached the one does not fire the other, which may be armed later or wait for another price.
    """
    if alert.armed is None or candidate.position <= alert.armed:
        return False
    threshold, price = threshold_of(alert.type, alert.price), candidate.price.price
    return price <= threshold if alert.type is AlertType.BUY else price >= threshold


class Watch:
    """Watches ticks for alerts."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Watch for nothing yet, having evaluated what `checkpoint` says."""
        self._matcher = Matcher()
        self._armings: dict[tuple[int, int], _Arming] = {}
        self._pending: deque[Candidate] = deque()
        self._missing: list[NotEvaluated] = []
        self._loss: Reason | None = None
        self._began_at = checkpoint.began_at
        self._evaluated = checkpoint.resume
        self._replayed_until = checkpoint.evaluated
        self._continuity = Continuity(checkpoint.began_at, checkpoint.seen)

    @property
    def watched(self) -> int:
        """Return how many armed alerts are watched for."""
        return len(self._matcher)

    @property
    def backlog(self) -> int:
        """Return how many fires wait to be committed."""
        return len(self._pending)

    @property
    def evaluated(self) -> Position:
        """Return the position up to which ticks were evaluated."""
        return self._evaluated.position

    def load(self, alerts: Iterable[Alert]) -> None:
        """Watch for alerts that are committed and armed at a position no tick behind which was evaluated since."""
        self._matcher.extend(entry_of(alert, alert.armed) for alert in alerts if alert.armed is not None)

    def propose(self, alert: Alert, latest: Position) -> Alert:
        """Watch for an alert that is about to be committed, and return it armed.

        Every call is followed by one of `confirm` or `withdraw`.

        Args:
            alert: the alert.
            latest: the end of the stream, asked after its owner asked for the alert.
        """
        armed = max(latest, self.evaluated)
        self._matcher.insert(entry_of(alert, armed))
        self._armings[alert.id, alert.generation] = _Arming(Mark(armed, self._evaluated.at))
        return replace(alert, armed=armed)

    def confirm(self, alert: Alert) -> None:
        """Let an alert fire that is committed, or that may be: what is not in the database cannot fire."""
        self._pending.extend(self._armings.pop((alert.id, alert.generation)).reached)

    def withdraw(self, alert: Alert) -> None:
        """Forget an alert that is known not to have been committed."""
        del self._armings[alert.id, alert.generation]
        self.forget(alert)

    def forget(self, alert: Alert) -> None:
        """Stop watching for an alert that was replaced; nothing happens when it is not watched for."""
        if alert.armed is not None:
            self._matcher.discard(entry_of(alert, alert.armed))

    def follow(self, stream: StreamView) -> Position:
        """Return the position behind which to read the stream, and note what it no longer holds."""
        resumption = resume(self.evaluated, stream)
        self.lose(resumption.reason)
        return resumption.position

    def lose(self, reason: Reason | None) -> None:
        """Note that ticks between the last batch and the next are gone; None means that nothing is."""
        self._loss = self._loss or reason

    def evaluate(self, batch: TickBatch) -> None:
        """Find what a batch fires; batches come in the order of the stream, and one that was evaluated is left out."""
        before = self._evaluated
        if batch.position <= before.position:
            return
        self._note_loss(batch.first_at)
        admission = self._admit(batch)
        if admission.missing is not None:
            self._missing.append(admission.missing)
        if admission.is_new:
            for crossing in self._matcher.evaluate(batch.instruments, batch.prices, batch.position.packed):
                self._reach(_candidate(crossing, batch, before))
        self._evaluated = Mark(batch.position, batch.last_at)

    def skip(self, position: Position, *, shard: int | None, at: datetime) -> None:
        """Pass over a batch that cannot be read.

        Args:
            position: where it stands.
            shard: its shard; None when that is unknown.
            at: when the stream took it in.
        """
        if position <= self.evaluated:
            return
        self._note_loss(at)
        self._missing.append(NotEvaluated(Reason.BATCH_UNREADABLE, self._evaluated.at, at, shard))
        self._evaluated = Mark(position, self._evaluated.at)

    def candidates(self, limit: int) -> Sequence[Candidate]:
        """Return the fires that wait longest to be committed."""
        return list(islice(self._pending, limit))

    def settle(self, count: int) -> None:
        """Take the first `count` fires for decided: committed, or found replaced or fired before."""
        for _ in range(count):
            self._pending.popleft()

    def progress(self) -> Progress:
        """Return what to save so that a crash from now on loses nothing."""
        marks = [self._evaluated, *(arming.mark for arming in self._armings.values())]
        marks.extend(candidate.mark for candidate in self._pending)
        checkpoint = Checkpoint(
            began_at=self._began_at,
            resume=min(marks),
            # What an earlier process has seen stays seen while it is evaluated again.
            evaluated=max(self.evaluated, self._replayed_until),
            seen=self._continuity.seen,
        )
        return Progress(checkpoint, tuple(self._missing))

    def saved(self, progress: Progress) -> None:
        """Forget what was missing: it is recorded."""
        del self._missing[: len(progress.missing)]

    def _admit(self, batch: TickBatch) -> Admission:
        if batch.position <= self._replayed_until:
            # A process before this one has seen it; what it was about to commit is to be found again.
            return Admission(is_new=True)
        return self._continuity.admit(batch, self._evaluated.at)

    def _note_loss(self, until: datetime) -> None:
        if self._loss is not None:
            self._missing.append(NotEvaluated(self._loss, self._evaluated.at, until))
            self._loss = None

    def _reach(self, candidate: Candidate) -> None:
        arming = self._armings.get((candidate.alert_id, candidate.generation))
        if arming is None:
            self._pending.append(candidate)
            return
        arming.reached.append(candidate)


def _candidate(crossing: Crossing, batch: TickBatch, mark: Mark) -> Candidate:
    price = FiringPrice(batch.time_of(crossing.tick), batch.prices[crossing.tick], batch.source, batch.freshness)
    return Candidate(
        alert_id=crossing.alert_id,
        generation=crossing.generation,
        price=price,
        publisher_id=batch.publisher_id,
        epoch=batch.epoch,
        shard=batch.shard,
        sequence=batch.sequence,
        position=batch.position,
        mark=mark,
    )
