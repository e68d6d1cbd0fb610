"""The heart of the service: what happens to the alerts and ticks of one shard between two awaits.

Nothing here waits or does I/O, so each method is one step that no other interleaves with. What makes a fire happen
exactly once:

- An alert is watched for before it is committed, so no tick falls between the two; what fires it is held until the
  commit is known to have happened.
- A fire stays pending until its compare-and-swap is committed, which also asks whether the alert that the database has
  by then is really reached.
- The checkpoint stays in front of every pending fire and of every position at which an alert is being armed, so that
  whatever a crash takes from memory is evaluated again, against the alerts the database has by then.
- What another replica has armed is taken up behind the position it was armed at, and evaluated from there.
- All that is written is written under the lease of the shard: for whoever holds it next, the end of this one's lease is
  a crash, wherever it was.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from alerts.domain.alerts import Alert, AlertType, FiringPrice
from alerts.domain.checkpoint import Checkpoint, Mark, Progress, TakenUp
from alerts.domain.continuity import (
    CLOCKS_APART,
    Admission,
    Continuity,
    NotEvaluated,
    Reason,
    StreamView,
    resume,
)
from alerts.domain.leases import Lease
from alerts.domain.matcher import Crossing, Entry, Matcher
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import Closest, EvaluatedTick, Tape
from alerts.domain.targets import threshold_of
from alerts.domain.ticks import TickBatch

# Publishers repeat what they do not know to have arrived, so there are few; what is read again is seconds long.
MAX_REPEATS = 1_024
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
        lease: under which it was evaluated; it fires under no other.
        before: the tick of the same instrument evaluated before this one; None when it is not known.
        crossed_during_gap: whether the tick was in the stream already when it began to be followed: it came while
            nobody evaluated ticks.
        trace_parent: the trace that the tick came in; None when that is not recorded.
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
    lease: Lease
    before: EvaluatedTick | None = None
    crossed_during_gap: bool = False
    trace_parent: str | None = None


class _Evidence(NamedTuple):
    mark: Mark
    lease: Lease
    before: EvaluatedTick | None
    is_in_gap: bool


@dataclass(slots=True)
class _Arming:
    """An alert being committed: where it is armed, and what has reached it meanwhile."""

    mark: Mark
    reached: list[Candidate] = field(default_factory=list)


def entry_of(alert: Alert, armed: Position = NOWHERE) -> Entry:
    """Return what the matcher needs to know of an alert that is armed at a position; any will do to forget it."""
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
    if before is None or alert.armed is None or _reaches(alert, before.price):
        return None
    if not alert.armed < before.position <= candidate.position:
        return None
    return before


def _reaches(alert: Alert, price: float) -> bool:
    threshold = threshold_of(alert.type, alert.price)
    return price <= threshold if alert.type is AlertType.BUY else price >= threshold


class Watch:
    """Watches the ticks of one shard for alerts."""

    def __init__(self, checkpoint: Checkpoint, lease: Lease) -> None:
        """Watch for nothing yet, having evaluated what `checkpoint` says, under a lease on the shard."""
        self.lease = lease
        self._matcher = Matcher()
        self._tape = Tape()
        self._gap_until = NOWHERE
        self._armings: dict[tuple[int, int], _Arming] = {}
        self._pending: deque[Candidate] = deque()
        self._missing: list[NotEvaluated] = []
        self._loss: Reason | None = None
        self._began_at = checkpoint.began_at
        self._taken_up: dict[tuple[int, int], TakenUp] = {}
        self._evaluated = checkpoint.resume
        # Where the shard's last batch stands, and its time; between it and what is evaluated there was none.
        self._last_batch = checkpoint.resume.position
        self._last_batch_at = checkpoint.resume.at
        self._replayed_until = checkpoint.evaluated
        self._continuity = Continuity(checkpoint.began_at, checkpoint.seen)
        self._repeats = dict.fromkeys(checkpoint.repeats)

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

    @property
    def mark(self) -> Mark:
        """Return how far ticks were evaluated."""
        return self._evaluated

    def load(self, alerts: Iterable[Alert]) -> None:
        """Watch for alerts that are committed and armed at a position no tick behind which was evaluated since."""
        entries = [entry_of(alert, alert.armed) for alert in alerts if alert.armed is not None]
        self._matcher.extend(entries)
        for instrument in {entry.instrument for entry in entries}:
            self._tape.begin(instrument, self.evaluated)

    def take_up(self, alerts: Iterable[Alert]) -> bool:
        """Watch for alerts that another replica has committed armed; return whether ticks are to be read again.

        Those behind their positions are evaluated again then, which finds nothing new for the other alerts. The next
        progress says that they are taken up; until that is saved, whoever holds the shard next takes them up anew.
        """
        known = self._taken_up.keys()
        new = [(alert, alert.armed) for alert in alerts if alert.armed and (alert.id, alert.generation) not in known]
        if not new:
            return False
        armed_at = self._evaluated.at
        since = min(armed_at, *(alert.armed_at or alert.set_at for alert, _ in new)) - CLOCKS_APART
        must_read_again = self._go_back(min(position for _, position in new), since)
        for alert, position in new:
            self._matcher.insert(entry_of(alert, position))
            self._tape.begin(alert.instrument, position)
            taken = TakenUp(alert.id, alert.generation, alert.armed_at or armed_at)
            self._taken_up[alert.id, alert.generation] = taken
        return must_read_again

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
        self.discard(entry_of(alert))

    def discard(self, entry: Entry) -> None:
        """Stop watching for an arming of an alert; nothing happens when nobody does."""
        self._matcher.discard(entry)

    def has_passed(self, alert: Alert) -> bool:
        """Say whether ticks have passed the expiry of an armed alert, and all that they fire is committed."""
        if alert.expires_at is None or self._pending or (alert.id, alert.generation) in self._armings:
            return False
        if self.evaluated < self._replayed_until:
            return False
        last_at = self._tape.last_at(alert.instrument)
        is_over = last_at is not None and last_at > alert.expires_at
        return is_over or self._evaluated.at > alert.expires_at + NO_MORE_TICKS

    def closest(self, alert: Alert) -> Closest:
        """Return the tick nearest to the price of an alert since it was armed."""
        if alert.armed is None:
            return Closest(None, is_known=False)
        return self._tape.closest(alert.instrument, alert.type, alert.armed)

    def follow(self, stream: StreamView, *, was_followed: bool = False) -> Position:
        """Return the position behind which to read the stream, and note what it no longer holds.

        Args:
            stream: what it holds now.
            was_followed: whether it was being read up to this moment, so that what it holds is no gap.
        """
        self._repeats = {
            each: None for each in self._repeats if each.stream == stream.ordinal and each.sequence >= stream.first
        }
        resumption = resume(self.evaluated, stream)
        self.lose(resumption.reason)
        if not was_followed or resumption.reason is not None:
            self._gap_until = stream.end
        return resumption.position

    def advance(self, mark: Mark) -> None:
        """Note that there was no batch of this shard up to a mark, behind what was evaluated."""
        if mark.position <= self._evaluated.position:
            return
        self._note_loss(mark.at)
        self._evaluated = mark

    def lose(self, reason: Reason | None) -> None:
        """Note that ticks between the last batch and the next are gone; None means that nothing is."""
        self._loss = self._loss or reason

    def evaluate(self, batch: TickBatch) -> None:
        """Find what a batch fires; batches come in the order of the stream, and one that was evaluated is left out."""
        before = self._evaluated
        if batch.position <= before.position:
            return
        # To its last tick: the first can be an instrument's that had not traded for long.
        self._note_loss(batch.last_at)
        admission = self._admit(batch)
        if admission.missing is not None:
            self._missing.append(admission.missing)
        if admission.is_new:
            self._match(batch, before)
            self._tape.record(batch)
        self._evaluated = Mark(batch.position, batch.last_at)
        self._last_batch, self._last_batch_at = batch.position, batch.last_at

    def skip(self, position: Position, *, at: datetime) -> None:
        """Pass over a batch that cannot be read.

        Args:
            position: where it stands.
            at: when the stream took it in.
        """
        if position <= self.evaluated:
            return
        self._note_loss(at)
        if position > self._replayed_until:
            self._miss(Reason.BATCH_UNREADABLE, at)
        self._evaluated = Mark(position, self._evaluated.at)
        self._last_batch = position

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
            repeats=tuple(self._repeats),
        )
        return Progress(self.lease, checkpoint, tuple(self._missing), tuple(self._taken_up.values()))

    def saved(self, progress: Progress) -> None:
        """Forget what was missing and what was taken up: it is recorded."""
        del self._missing[: len(progress.missing)]
        for taken in progress.taken_up:
            self._taken_up.pop((taken.alert_id, taken.generation), None)

    def _go_back(self, position: Position, at: datetime) -> bool:
        """Have everything behind a position evaluated again, as after a crash; return whether there is anything.

        Args:
            position: behind which it is read.
            at: a moment that no tick behind the position is from before.
        """
        if position.stream < self._last_batch.stream:
            # Its stream was replaced: what came behind it there was evaluated for others alone, and is gone.
            self._missing.append(NotEvaluated(Reason.STREAM_REPLACED, at, self._evaluated.at, self.lease.shard))
            position = Position(self._last_batch.stream, 0)
        if position >= self._last_batch:
            return False
        self._replayed_until = max(self._replayed_until, self._last_batch)
        self._last_batch, self._last_batch_at = position, at
        self._tape.rewind(position)
        # Should the stream be replaced before it is read again, what is lost begins here.
        self._evaluated = Mark(position, at)
        return True

    def _admit(self, batch: TickBatch) -> Admission:
        if batch.position <= self._replayed_until:
            # It was seen before; what it was about to fire is to be found again. Repetitions stay left out: an alert
            # that was armed behind the first copy would fire on a price from before.
            return Admission(is_new=batch.position not in self._repeats)
        # The shard's own: others have carried what is evaluated on, over what was lost here.
        admission = self._continuity.admit(batch, self._last_batch_at)
        if not admission.is_new:
            self._repeats[batch.position] = None
            if len(self._repeats) > MAX_REPEATS:
                del self._repeats[next(iter(self._repeats))]
        return admission

    def _note_loss(self, until: datetime) -> None:
        if self._loss is not None:
            self._miss(self._loss, until)
            self._loss = None

    def _miss(self, reason: Reason, until: datetime) -> None:
        since = self._evaluated.at
        self._missing.append(NotEvaluated(reason, since, max(since, until), self.lease.shard))

    def _match(self, batch: TickBatch, mark: Mark) -> None:
        befores: dict[int, EvaluatedTick | None] = {}
        is_in_gap = batch.position <= self._gap_until
        for crossing in self._matcher.evaluate(batch.instruments, batch.prices, batch.position.packed):
            tick = crossing.tick
            if tick not in befores:
                befores[tick] = self._tape.before(batch, tick)
            evidence = _Evidence(mark, self.lease, befores[tick], is_in_gap)
            self._reach(_candidate(crossing, batch, evidence))

    def _reach(self, candidate: Candidate) -> None:
        arming = self._armings.get((candidate.alert_id, candidate.generation))
        if arming is None:
            self._pending.append(candidate)
            return
        arming.reached.append(candidate)


def _candidate(crossing: Crossing, batch: TickBatch, evidence: _Evidence) -> Candidate:
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
        mark=evidence.mark,
        lease=evidence.lease,
        before=evidence.before,
        crossed_during_gap=evidence.is_in_gap,
        trace_parent=batch.trace_parent,
    )
