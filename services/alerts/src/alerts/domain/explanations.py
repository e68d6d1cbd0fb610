"""Why an alert has not fired: what was evaluated since it was armed, what was not, and how near the price came."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.domain.alerts import Alert, AlertType
from alerts.domain.continuity import NotEvaluated, Reason
from alerts.domain.ports import FireHistory, IntervalStore
from alerts.domain.tape import Closest, EvaluatedTick
from alerts.domain.targets import format_target
from alerts.domain.ticks import shard_of
from alerts.domain.watches import Watches

MAX_STRETCHES = 500


class State(StrEnum):
    """How an alert stands."""

    ARMED = "armed"
    WAITING = "waiting"
    FIRED = "fired"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, in the ticks' time; `reason` says why ticks in it may be missing, None that none are."""

    from_at: datetime
    to_at: datetime
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of an arming of an alert.

    Attributes:
        alert: the alert.
        state: how it stands.
        evaluated: the stretches since it was armed in which every tick was evaluated, oldest first.
        not_evaluated: those in which ticks may have been missed, oldest first.
        closest: the tick nearest to its price since it was armed; None when there was none or it is not known.
        sentence: says it to people.
    """

    alert: Alert
    state: State
    evaluated: Sequence[Stretch]
    not_evaluated: Sequence[Stretch]
    closest: EvaluatedTick | None
    sentence: str


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What is known of the evaluation of an alert's shard: up to when, whether it goes on, what is not recorded yet."""

    at: datetime | None
    is_going_on: bool
    missing: Sequence[NotEvaluated] = ()


class Explainer:
    """Explains alerts from what is recorded and, for the shards held here, from what their watches remember."""

    def __init__(
        self, watches: Watches, intervals: IntervalStore, fires: FireHistory, *, is_following: Callable[[], bool]
    ) -> None:
        """Explain.

        Args:
            watches: evaluate the ticks of the shards held here.
            intervals: knows what was not evaluated, and how far the other shards were.
            fires: knows what has fired.
            is_following: says whether the ticks of the shards held here are being evaluated now.
        """
        self._watches = watches
        self._intervals = intervals
        self._fires = fires
        self._is_following = is_following

    async def explain(self, alert: Alert) -> Explanation:
        """Explain an alert as its owner is to see it."""
        state = state_of(alert)
        closest = await self._closest(alert)
        evaluation = await self._evaluation(alert)
        until = _until(alert, evaluation)
        missing = await self._missing(alert, until, evaluation.missing)
        evaluated = [] if alert.armed_at is None or until is None else _between(alert.armed_at, until, missing)
        is_following = evaluation.is_going_on or alert.fired is not None
        sentence = _sentence(alert, state, closest, missed=len(missing), is_following=is_following)
        known = closest.tick if closest.is_known else None
        return Explanation(alert, state, evaluated, missing, known, sentence)

    async def _evaluation(self, alert: Alert) -> _Evaluation:
        watch = self._watches.of(alert.instrument)
        if watch is not None:
            return _Evaluation(watch.evaluated_at, self._is_following(), watch.missing)
        standing = await self._intervals.standing(shard_of(alert.instrument))
        return _Evaluation(standing.evaluated_at, standing.is_held)

    async def _closest(self, alert: Alert) -> Closest:
        if alert.fired is not None:
            fire = await self._fires.find(alert.id, alert.generation)
            return Closest(None if fire is None else fire.tick, is_known=fire is not None)
        watch = self._watches.of(alert.instrument)
        closest = Closest(None, is_known=False) if watch is None else watch.closest(alert)
        if closest.tick is not None and alert.is_past(closest.tick.at):
            # A later tick came nearer and hides the nearest of those that mattered.
            return Closest(None, is_known=False)
        return closest

    async def _missing(
        self, alert: Alert, until: datetime | None, unsaved: Sequence[NotEvaluated]
    ) -> Sequence[Stretch]:
        if alert.armed_at is None or until is None:
            return []
        shard = shard_of(alert.instrument)
        recorded = await self._intervals.missing_since(alert.armed_at, shard=shard, limit=MAX_STRETCHES)
        stretches = {_stretch(each, alert, alert.armed_at) for each in (*unsaved, *recorded) if _concerns(each, alert)}
        missing = [each for each in stretches if each.to_at > alert.armed_at and each.from_at <= until]
        return _without_contained(missing)


def state_of(alert: Alert) -> State:
    """Return how an alert stands."""
    if alert.fired is not None:
        return State.FIRED
    if alert.has_expired:
        return State.EXPIRED
    return State.WAITING if alert.armed is None else State.ARMED


def _until(alert: Alert, evaluation: _Evaluation) -> datetime | None:
    """Return the last moment that is of any matter: of its fire, of its expiry, of the last tick."""
    if alert.fired is not None:
        return alert.fired.at
    if evaluation.at is None:
        return None
    return min(evaluation.at, alert.expires_at or evaluation.at)


def _concerns(missing: NotEvaluated, alert: Alert) -> bool:
    """Say whether a stretch can be about an alert: what was set late, only if it was among it."""
    return missing.reason is not Reason.NOT_ARMED or missing.from_at <= alert.set_at <= missing.to_at


def _stretch(missing: NotEvaluated, alert: Alert, armed_at: datetime) -> Stretch:
    """Return the part of a stretch that is behind the arming; an alert set late has missed what was before it."""
    begins_at = alert.set_at if missing.reason is Reason.NOT_ARMED else armed_at
    return Stretch(max(missing.from_at, begins_at), missing.to_at, missing.reason)


def _without_contained(stretches: Iterable[Stretch]) -> Sequence[Stretch]:
    """Return stretches oldest first, without those that lie in another: a restart, say, is noted by each who saw it."""
    left: list[Stretch] = []
    for each in sorted(stretches, key=lambda each: (each.from_at, -each.to_at.timestamp(), each.reason or "")):
        if not left or each.to_at > left[-1].to_at:
            left.append(each)
    return left


def _between(from_at: datetime, to_at: datetime, missing: Iterable[Stretch]) -> Sequence[Stretch]:
    """Return what is left of a stretch of time without those in which ticks may be missing, which are in order."""
    left = []
    for each in missing:
        if each.from_at > from_at:
            left.append(Stretch(from_at, min(each.from_at, to_at)))
        from_at = max(from_at, each.to_at)
    if from_at < to_at:
        left.append(Stretch(from_at, to_at))
    return left


def _sentence(alert: Alert, state: State, closest: Closest, *, missed: int, is_following: bool) -> str:
    parts = [_state_sentence(alert, state)]
    if state in (State.ARMED, State.EXPIRED):
        parts.append(_closest_sentence(alert, closest))
    if missed:
        parts.append(f"Ticks may have been missed in {missed} {'stretch' if missed == 1 else 'stretches'} of time.")
    if not is_following:
        parts.append("Ticks are not being evaluated just now; those that come are, when they can be again.")
    return " ".join(parts)


def _state_sentence(alert: Alert, state: State) -> str:
    target = f"{alert.symbol} at or {'below' if alert.type is AlertType.BUY else 'above'} {format_target(alert.price)}"
    if alert.fired is not None:
        return f"It waited for {target} and fired at {alert.fired.price} on {_written(alert.fired.at)}."
    if alert.expires_at is not None and state is State.EXPIRED:
        return f"It waited for {target} until {_written(alert.expires_at)} and ended without firing."
    if state is State.WAITING:
        return f"It is to wait for {target}, and is armed as soon as the stream of ticks answers."
    return f"It waits for {target} and has not fired."


def _closest_sentence(alert: Alert, closest: Closest) -> str:
    extreme = "lowest" if alert.type is AlertType.BUY else "highest"
    if closest.tick is not None:
        what = f"is {closest.tick.price}, on {_written(closest.tick.at)}."
        if closest.is_known:
            return f"The {extreme} price evaluated since it was armed {what}"
        return f"Of the prices since it was armed, not all are remembered; the {extreme} of those that are {what}"
    if closest.is_known:
        return "No tick of it was evaluated since it was armed."
    return f"The {extreme} price since it was armed is not known."


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d} at {moment:%H:%M:%S} UTC"
