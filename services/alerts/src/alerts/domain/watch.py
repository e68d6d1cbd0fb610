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
from datetime import datetime, timedelta
from itertools import islice

from alerts.domain.alerts import Alert, AlertType, FiringPrice
from alerts.domain.checkpoint import Checkpoint, Mark, Progress
from alerts.domain.continuity import Admission, Continuity, NotEvaluated, Reason, StreamView, resume
from alerts.domain.matcher import Crossing, Entry, Matcher
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import Closest, EvaluatedTick, Tape
from alerts.domain.targets import threshold_of
from alerts.domain.ticks import TickBatch

# An instrument that brings no tick any more ends its alerts this long behind their expiry, in the ticks' time.
NO_MORE_TICKS = timedelta(days=1)


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
        before: the tick of the same instrument evaluated before this one; None when it is not known.
        crossed_during_gap: whether the tick was in the stream already when it began to be followed: it came while
            nobody evaluated ticks.
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
    before: EvaluatedTick | None = None
    crossed_during_gap: bool = False


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
    what reached the one does not fire the other, which may be armed later or wait for another price. A tick later than
    the alert's expiry does not fire it, however soon or late it is evaluated.
    """
    if alert.armed is None or candidate.position <= alert.armed or alert.is_past(candidate.price.at):
        return False
    return _reaches(alert, candidate.price.price)


def is_ended(alert: Alert, candidate: Candidate) -> bool:
    """Say whether a candidate's tick shows that an armed alert as the database has it has expired."""
    return alert.armed is not None and candidate.position > alert.armed and alert.is_past(candidate.price.at)


def proof_of(alert: Alert, candidate: Candidate) -> EvaluatedTick | None:
    """Return the tick in front of the one that fired an alert, on the other side of its price.

    None when the one that fired it is the first since its arming, or what came before it is not known.
    """
    before = candidate.before
    if before is None or alert.armed is None or before.position <= alert.armed or _reaches(alert, before.price):
        return None
    return before


def _reaches(alert: Alert, price: float) -> bool:
    threshold = threshold_of(alert.type, alert.price)
    return price <= threshold if alert.type is AlertType.BUY else price >= threshold


class Watch:
    """Watches ticks for alerts."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Watch for nothing yet, having evaluated what `checkpoint` says."""
        self._matcher = Matcher()
        self._tape = Tape()
        self._gap_until = NOWHERE
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

    @property
    def evaluated_at(self) -> datetime:
        """Return the time of the last tick evaluated, in the ticks' time."""
        return self._evaluated.at

    @property
    def missing(self) -> Sequence[NotEvaluated]:
        """Return what was found missing and is not recorded yet."""
        return tuple(self._missing)

    def load(self, alerts: Iterable[Alert]) -> None:
        """Watch for alerts that are committed and armed at a position no tick behind which was evaluated since."""
        entries = [entry_of(alert, alert.armed) for alert in alerts if alert.armed is not None]
        self._matcher.extend(entries)
        for instrument in {entry.instrument for entry in entries}:
            self._tape.begin(instrument, self.evaluated)

    def propose(self, alert: Alert, latest: Position) -> Alert:
        """Watch for an alert that is about to be committed, and return it armed.

        Every call is followed by one of `confirm` or `withdraw`.

        Args:
            alert: the alert.
            latest: the end of the stream, asked after its owner asked for the alert.
        """
        armed = max(latest, self.evaluated)
        self._matcher.insert(entry_of(alert, armed))
        self._tape.begin(alert.instrument, armed)
        self._armings[alert.id, alert.generation] = _Arming(Mark(armed, self._evaluated.at))
        return replace(alert, armed=armed, armed_at=self._evaluated.at)

    def confirm(self, alert: Alert) -> None:
        """Let an alert fire that is committed, or that may be: what is not in the database cannot fire."""
        self._pending.extend(self._armings.pop((alert.id, alert.generation)).reached)

    def withdraw(self, alert: Alert) -> None:
        """Forget an alert that is known not to have been committed."""
        del self._armings[alert.id, alert.generation]
        self.forget(alert)

    def forget(self, alert: Alert) -> None:
        """Stop watching for an alert that was replaced, deleted or ended; nothing happens when nobody does."""
        if alert.armed is not None:
            self._matcher.discard(entry_of(alert, alert.armed))

    def has_passed(self, alert: Alert) -> bool:
        """Say whether ticks have passed the expiry of an armed alert, and all that they fire is committed."""
        if alert.expires_at is None or self._pending or (alert.id, alert.generation) in self._armings:
            return False
        last_at = self._tape.last_at(alert.instrument)
        is_over = last_at is not None and last_at > alert.expires_at
        return is_over or self._evaluated.at > alert.expires_at + NO_MORE_TICKS

    def closest(self, alert: Alert) -> Closest:
        """Return the tick nearest to the price of an alert since it was armed."""
        if alert.armed is None:
            return Closest(None, is_known=False)
        return self._tape.closest(alert.instrument, alert.type, alert.armed)

    def follow(self, stream: StreamView) -> Position:
        """Return the position behind which to read the stream, and note what it no longer holds."""
        resumption = resume(self.evaluated, stream)
        self.lose(resumption.reason)
        self._gap_until = stream.end
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
            self._match(batch, before)
            self._tape.record(batch)
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

    def _match(self, batch: TickBatch, mark: Mark) -> None:
        befores: dict[int, EvaluatedTick | None] = {}
        is_in_gap = batch.position <= self._gap_until
        for crossing in self._matcher.evaluate(batch.instruments, batch.prices, batch.position.packed):
            tick = crossing.tick
            if tick not in befores:
                befores[tick] = self._tape.before(batch, tick)
            self._reach(_candidate(crossing, batch, mark, before=befores[tick], is_in_gap=is_in_gap))

    def _reach(self, candidate: Candidate) -> None:
        arming = self._armings.get((candidate.alert_id, candidate.generation))
        if arming is None:
            self._pending.append(candidate)
            return
        arming.reached.append(candidate)


def _candidate(
    crossing: Crossing, batch: TickBatch, mark: Mark, *, before: EvaluatedTick | None, is_in_gap: bool
) -> Candidate:
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
        before=before,
        crossed_during_gap=is_in_gap,
    )
