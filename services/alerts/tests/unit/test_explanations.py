from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.continuity import NotEvaluated, Reason, Standing
from alerts.domain.explanations import Explainer, Explanation, State, Stretch
from alerts.domain.fires import Fire, FireCursor
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.ticks import TickBatch, shard_of
from alerts.domain.watch import Watch
from alerts.domain.watches import Watches

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
TCS_SHARD = shard_of("NSE:TCS")


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def make_alert(alert_type: AlertType = AlertType.BUY, *, expires_at: datetime | None = None) -> Alert:
    alert = Alert(1, "7", alert_type, "NSE:TCS", "TCS", Decimal(100), 1, START)
    return replace(alert, armed=NOWHERE, armed_at=START, expires_at=expires_at)


class Recorded:
    """Stretches that were recorded, and at most one fire."""

    def __init__(self, *missing: NotEvaluated) -> None:
        self.missing = missing
        self.fire: Fire | None = None
        self.stands = Standing(None, is_held=False)

    async def standing(self, shard: int) -> Standing:
        assert shard == TCS_SHARD
        return self.stands

    async def missing_since(self, moment: datetime, *, shard: int, limit: int) -> Sequence[NotEvaluated]:
        return [each for each in self.missing if each.to_at > moment and each.shard in (None, shard)][:limit]

    async def find(self, alert_id: int, generation: int) -> Fire | None:
        assert (alert_id, generation) == (1, 1)
        return self.fire

    async def list_of(self, user_id: str, *, limit: int, after: FireCursor | None) -> Sequence[Fire]:
        raise NotImplementedError


class Bench:
    """A watch that can be fed, and what explains from it."""

    def __init__(self) -> None:
        self.watch = Watch(FIRST_START, Lease(TCS_SHARD, 1))
        self.watches = Watches()
        self.watches.add(self.watch)
        self.recorded = Recorded()
        self.is_following = True
        self.sequence = 0

    def tick(self, price: float, *, at: datetime) -> None:
        self.sequence += 1
        batch = TickBatch(
            position=Position(1, self.sequence),
            publisher_id="feed",
            epoch=1,
            shard=TCS_SHARD,
            sequence=self.sequence,
            source="sample",
            freshness=Freshness.SIMULATED,
            base_at=at,
            instruments=["NSE:TCS"],
            prices=[price],
            offsets_microseconds=[0],
        )
        self.watch.evaluate(batch)

    async def explain(self, alert: Alert) -> Explanation:
        explainer = Explainer(self.watches, self.recorded, self.recorded, is_following=lambda: self.is_following)
        return await explainer.explain(alert)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("alert_type", "closest", "says"),
    [
        (AlertType.BUY, 101.5, "It waits for TCS at or below 100 and has not fired. The lowest price"),
        (AlertType.SELL, 103.0, "It waits for TCS at or above 100 and has not fired. The highest price"),
    ],
)
async def test_an_armed_alert_is_explained_by_the_nearest_tick(
    bench: Bench, alert_type: AlertType, closest: float, says: str
) -> None:
    alert = replace(make_alert(alert_type), price=Decimal(100))
    bench.watch.load([replace(alert, price=Decimal(1 if alert_type is AlertType.BUY else 999))])
    for second, price in enumerate((103.0, 101.5, 102.0), start=1):
        bench.tick(price, at=at(second))
    explanation = await bench.explain(alert)
    assert explanation.state is State.ARMED
    assert explanation.closest is not None
    assert explanation.closest.price == closest
    assert (explanation.evaluated, explanation.not_evaluated) == ([Stretch(START, at(3))], [])
    assert explanation.sentence.startswith(says)
    assert f"since it was armed is {closest}, on 2026-01-05 at 09:15:0" in explanation.sentence


async def test_that_no_tick_came_is_told_from_not_knowing(bench: Bench) -> None:
    bench.watch.load([make_alert()])
    known = await bench.explain(make_alert())
    assert known.sentence.endswith("No tick of it was evaluated since it was armed.")
    same_shard = next(name for n in range(999) if shard_of(name := f"NSE:OTHER{n}") == TCS_SHARD)
    unknown = await bench.explain(replace(make_alert(), instrument=same_shard))
    assert (unknown.closest, known.evaluated) == (None, [])
    assert unknown.sentence.endswith("The lowest price since it was armed is not known.")


async def test_an_alert_that_is_not_armed_waits_for_the_stream(bench: Bench) -> None:
    bench.is_following = False
    explanation = await bench.explain(replace(make_alert(), armed=None, armed_at=None))
    assert explanation.state is State.WAITING
    assert (explanation.evaluated, explanation.not_evaluated, explanation.closest) == ([], [], None)
    assert "armed as soon as the stream of ticks answers" in explanation.sentence
    assert "not being evaluated just now" in explanation.sentence


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_fired_alert_says_what_fired_it(bench: Bench, *, is_kept: bool) -> None:
    tick = EvaluatedTick(99.5, at(5), "sample", "feed", 1, TCS_SHARD, 1, Position(1, 1))
    if is_kept:
        bench.recorded.fire = Fire(
            1, 1, AlertType.BUY, "NSE:TCS", "TCS", Decimal(100), tick, None, at(6), crossed_during_gap=False, note=None
        )
    bench.is_following = False
    bench.tick(90.0, at=at(60))
    fired = FiringPrice(at(5), 99.5, source="sample", freshness=Freshness.SIMULATED)
    explanation = await bench.explain(replace(make_alert(), fired=fired))
    assert explanation.state is State.FIRED
    assert explanation.closest == (tick if is_kept else None)
    assert explanation.evaluated == [Stretch(START, at(5))]
    assert explanation.sentence == "It waited for TCS at or below 100 and fired at 99.5 on 2026-01-05 at 09:15:05 UTC."


async def test_an_expired_alert_is_explained_up_to_its_end(bench: Bench) -> None:
    alert = make_alert(expires_at=at(10))
    bench.watch.load([replace(alert, price=Decimal(1))])
    bench.tick(101.0, at=at(9))
    bench.tick(102.0, at=at(12))
    explanation = await bench.explain(replace(alert, has_expired=True))
    assert explanation.state is State.EXPIRED
    assert explanation.evaluated == [Stretch(START, at(10))]
    assert explanation.closest is not None
    assert explanation.sentence.startswith(
        "It waited for TCS at or below 100 until 2026-01-05 at 09:15:10 UTC and ended"
    )
    bench.tick(99.0, at=at(13))
    assert (await bench.explain(replace(alert, has_expired=True))).closest is None


async def test_what_was_missed_is_cut_out_of_what_was_evaluated(bench: Bench) -> None:
    bench.recorded.missing = (
        NotEvaluated(Reason.SEQUENCE_JUMP, at(20), at(30), TCS_SHARD, "feed"),
        NotEvaluated(Reason.STREAM_REPLACED, at(-60), at(5)),
        NotEvaluated(Reason.STREAM_TRIMMED, at(25), at(35)),
        NotEvaluated(Reason.SEQUENCE_JUMP, at(40), at(41), (TCS_SHARD + 1) % 16, "feed"),
        NotEvaluated(Reason.STREAM_REPLACED, at(-60), at(-30)),
    )
    bench.tick(101.0, at=at(50))
    bench.watch.skip(Position(1, 2), at=at(55))
    explanation = await bench.explain(make_alert())
    assert explanation.not_evaluated == [
        Stretch(START, at(5), Reason.STREAM_REPLACED),
        Stretch(at(20), at(30), Reason.SEQUENCE_JUMP),
        Stretch(at(25), at(35), Reason.STREAM_TRIMMED),
        Stretch(at(50), at(55), Reason.BATCH_UNREADABLE),
    ]
    assert explanation.evaluated == [Stretch(at(5), at(20)), Stretch(at(35), at(50))]
    assert "missed in 4 stretches" in explanation.sentence


async def test_what_lies_in_another_stretch_is_not_said_twice(bench: Bench) -> None:
    bench.recorded.missing = (
        NotEvaluated(Reason.SEQUENCE_JUMP, at(20), at(30), TCS_SHARD, "feed"),
        NotEvaluated(Reason.STREAM_REPLACED, at(20), at(32)),
        NotEvaluated(Reason.STREAM_REPLACED, at(25), at(31)),
        NotEvaluated(Reason.NOT_ARMED, at(-60), at(5)),
        NotEvaluated(Reason.STREAM_TRIMMED, at(31), at(33)),
    )
    bench.tick(101.0, at=at(50))
    explanation = await bench.explain(make_alert())
    assert explanation.not_evaluated == [
        Stretch(START, at(5), Reason.NOT_ARMED),
        Stretch(at(20), at(32), Reason.STREAM_REPLACED),
        Stretch(at(31), at(33), Reason.STREAM_TRIMMED),
    ]
    assert explanation.evaluated == [Stretch(at(5), at(20)), Stretch(at(33), at(50))]
    assert "missed in 3 stretches" in explanation.sentence


async def test_of_what_was_armed_before_this_process_began_the_nearest_that_is_remembered_is_told(bench: Bench) -> None:
    for second in range(1, 6):
        bench.tick(105.0, at=at(second))
    bench.watch.load([replace(make_alert(), armed=Position(1, 2))])
    bench.tick(101.5, at=at(7))
    bench.tick(103.0, at=at(8))
    explanation = await bench.explain(replace(make_alert(), armed=Position(1, 2)))
    assert explanation.closest is None
    says = "not all are remembered; the lowest of those that are is 101.5, on 2026-01-05 at 09:15:07 UTC."
    assert explanation.sentence.endswith(says)


async def test_a_stretch_in_which_others_were_not_armed_is_not_about_an_alert_set_before(bench: Bench) -> None:
    bench.recorded.missing = (NotEvaluated(Reason.NOT_ARMED, at(20), at(30)),)
    bench.tick(101.0, at=at(50))
    assert (await bench.explain(make_alert())).not_evaluated == []
    set_late = replace(make_alert(), created_at=at(25), armed_at=at(28))
    explanation = await bench.explain(set_late)
    assert explanation.not_evaluated == [Stretch(at(25), at(30), Reason.NOT_ARMED)]
    assert "missed in 1 stretch of" in explanation.sentence


async def test_what_another_replica_evaluates_is_explained_from_what_it_saved(bench: Bench) -> None:
    bench.watches.drop(bench.watch)
    bench.recorded.stands = Standing(at(50), is_held=True)
    bench.recorded.missing = (NotEvaluated(Reason.SEQUENCE_JUMP, at(20), at(30), TCS_SHARD, "feed"),)
    explanation = await bench.explain(make_alert())
    assert explanation.evaluated == [Stretch(START, at(20)), Stretch(at(30), at(50))]
    assert explanation.closest is None
    assert "price since it was armed is not known" in explanation.sentence
    assert "not being evaluated" not in explanation.sentence


async def test_what_nobody_evaluates_is_explained_so(bench: Bench) -> None:
    bench.watches.drop(bench.watch)
    explanation = await bench.explain(make_alert())
    assert (explanation.evaluated, explanation.not_evaluated) == ([], [])
    assert "Ticks are not being evaluated just now" in explanation.sentence
