from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alerts.domain.alerts import Alert, AlertType, FiringPrice, Freshness
from alerts.domain.checkpoint import Checkpoint, Mark, TakenUp
from alerts.domain.continuity import NotEvaluated, Reason, StreamView
from alerts.domain.leases import Lease
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.ticks import TickBatch
from alerts.domain.watch import MAX_REPEATS, Candidate, Watch, is_ended, is_reached, proof_of

PRICES = st.sampled_from(["97.5", "98.5", "99.5", "100.5"])
START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
EPOCH = int(START.timestamp() * 1e6) + 1
LEASE = Lease(3, 1)
FIRST_START = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())


def make_alert(alert_id: int = 1, *, price: str = "100", alert_type: AlertType = AlertType.BUY) -> Alert:
    return Alert(alert_id, "7", alert_type, "NSE:TCS", "NSE:TCS", Decimal(price), 1, START)


def make_batch(sequence: int, *prices: float, stream: int = 1, sequence_in_shard: int | None = None) -> TickBatch:
    return TickBatch(
        position=Position(stream, sequence),
        publisher_id="feed",
        epoch=EPOCH,
        shard=3,
        sequence=sequence_in_shard or sequence,
        source="sample",
        freshness=Freshness.SIMULATED,
        base_at=START + timedelta(seconds=sequence),
        instruments=["NSE:TCS"] * len(prices),
        prices=prices,
        offsets_microseconds=list(range(len(prices))),
    )


def armed_alert(alert_type: AlertType) -> Alert:
    return replace(make_alert(alert_type=alert_type), armed=Position(1, 4))


def make_candidate(price: float, sequence: int) -> Candidate:
    return Candidate(
        alert_id=1,
        generation=1,
        price=FiringPrice(START, price, source="sample", freshness=Freshness.SIMULATED),
        publisher_id="feed",
        epoch=EPOCH,
        shard=3,
        sequence=sequence,
        position=Position(1, sequence),
        mark=Mark(NOWHERE, START),
        lease=LEASE,
    )


def pending(watch: Watch) -> list[tuple[int, int]]:
    return [(candidate.alert_id, candidate.generation) for candidate in watch.candidates(1_000)]


@pytest.fixture
def watch() -> Watch:
    return Watch(FIRST_START, LEASE)


def test_a_tick_that_reaches_an_alert_becomes_a_candidate_with_its_evidence(watch: Watch) -> None:
    watch.confirm(watch.propose(make_alert(), Position(1, 4)))
    watch.evaluate(make_batch(5, 101.0, 99.5))
    (candidate,) = watch.candidates(10)
    assert candidate == Candidate(
        alert_id=1,
        generation=1,
        price=FiringPrice(
            START + timedelta(seconds=5, microseconds=1), 99.5, source="sample", freshness=Freshness.SIMULATED
        ),
        publisher_id="feed",
        epoch=EPOCH,
        shard=3,
        sequence=5,
        position=Position(1, 5),
        mark=Mark(NOWHERE, START),
        lease=LEASE,
        before=EvaluatedTick(
            101.0, START + timedelta(seconds=5), "sample", "feed", EPOCH, 3, 5, Position(1, 5), Freshness.SIMULATED
        ),
    )
    assert watch.backlog == 1
    assert watch.watched == 0


def test_an_alert_is_armed_behind_what_was_already_evaluated(watch: Watch) -> None:
    watch.evaluate(make_batch(9, 99.0))
    assert watch.propose(make_alert(), Position(1, 7)).armed == Position(1, 9)


def test_what_reaches_an_alert_before_its_commit_waits_for_it(watch: Watch) -> None:
    alert = watch.propose(make_alert(), Position(1, 0))
    watch.evaluate(make_batch(1, 99.0))
    assert pending(watch) == []
    watch.confirm(alert)
    assert pending(watch) == [(1, 1)]


def test_an_earlier_attempt_of_the_generation_does_not_hide_what_reached_the_alert_first(watch: Watch) -> None:
    watch.confirm(watch.propose(make_alert(price="98"), Position(1, 0)))
    again = watch.propose(make_alert(price="100"), Position(1, 0))
    watch.evaluate(make_batch(1, 99.0, 97.0))
    watch.confirm(again)
    reached = [candidate.price.price for candidate in watch.candidates(10) if is_reached(again, candidate)]
    assert reached == [99.0, 97.0]


@pytest.mark.parametrize(
    ("alert_type", "price", "sequence"),
    [(AlertType.BUY, 100.0, 5), (AlertType.SELL, 100.0, 5)],
)
def test_an_alert_is_reached_at_its_price_behind_its_position(
    alert_type: AlertType, price: float, sequence: int
) -> None:
    assert is_reached(armed_alert(alert_type), make_candidate(price, sequence))


@pytest.mark.parametrize(
    ("alert_type", "price", "sequence"),
    [(AlertType.BUY, 100.5, 5), (AlertType.SELL, 99.5, 5), (AlertType.BUY, 99.0, 4)],
)
def test_an_alert_is_not_reached_short_of_its_price_or_by_what_came_before_it(
    alert_type: AlertType, price: float, sequence: int
) -> None:
    assert not is_reached(armed_alert(alert_type), make_candidate(price, sequence))


def test_an_alert_without_a_position_is_not_reached() -> None:
    assert not is_reached(make_alert(), make_candidate(99.0, 5))


def test_a_tick_later_than_the_expiry_ends_an_alert_and_does_not_fire_it() -> None:
    alert = replace(armed_alert(AlertType.BUY), expires_at=START)
    in_time = make_candidate(99.0, 5)
    late = replace(in_time, price=replace(in_time.price, at=START + timedelta(microseconds=1)))
    assert (is_reached(alert, in_time), is_ended(alert, in_time)) == (True, False)
    assert (is_reached(alert, late), is_ended(alert, late)) == (False, True)
    assert not is_ended(alert, replace(late, position=Position(1, 4)))
    assert not is_ended(replace(alert, armed=None), late)


@pytest.mark.parametrize(("price", "sequence", "proves"), [(101.0, 5, True), (101.0, 4, False), (99.5, 5, False)])
def test_the_tick_before_proves_a_fire_behind_the_arming_and_on_the_other_side(
    price: float, sequence: int, *, proves: bool
) -> None:
    alert = armed_alert(AlertType.BUY)
    before = EvaluatedTick(price, START, "sample", "feed", EPOCH, 3, sequence, Position(1, sequence))
    candidate = replace(make_candidate(99.0, 6), before=before)
    assert proof_of(alert, candidate) == (before if proves else None)
    assert proof_of(alert, make_candidate(99.0, 6)) is None
    assert proof_of(replace(alert, armed=None), candidate) is None


def test_what_the_stream_held_when_it_began_to_be_followed_crossed_during_a_gap(watch: Watch) -> None:
    watch.load([replace(make_alert(1), armed=NOWHERE), replace(make_alert(2, price="98"), armed=NOWHERE)])
    watch.follow(StreamView(1, 1, 1))
    watch.evaluate(make_batch(1, 99.0))
    watch.evaluate(make_batch(2, 97.0))
    flags = [(candidate.alert_id, candidate.crossed_during_gap) for candidate in watch.candidates(10)]
    assert flags == [(1, True), (2, False)]


def test_alerts_that_one_tick_fires_share_the_tick_before_it(watch: Watch) -> None:
    watch.load([replace(make_alert(number), armed=NOWHERE) for number in (1, 2)])
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(make_batch(2, 99.0))
    assert [candidate.before and candidate.before.price for candidate in watch.candidates(10)] == [101.0, 101.0]


def test_the_closest_tick_to_an_alert_is_one_since_it_was_armed(watch: Watch) -> None:
    watch.load([replace(make_alert(1, price="1"), armed=NOWHERE)])
    watch.evaluate(make_batch(1, 101.0))
    alert = watch.propose(make_alert(2, price="90"), Position(1, 1))
    watch.evaluate(make_batch(2, 104.0))
    closest = watch.closest(alert).tick
    assert closest is not None
    assert closest.price == 104.0
    assert not watch.closest(make_alert(3)).is_known


def test_what_passes_an_alert_that_does_not_expire_or_is_being_armed_is_nothing(watch: Watch) -> None:
    alert = watch.propose(replace(make_alert(price="1"), expires_at=START), NOWHERE)
    watch.evaluate(make_batch(1, 101.0))
    assert not watch.has_passed(alert)
    watch.confirm(alert)
    assert watch.has_passed(alert)
    assert not watch.has_passed(replace(alert, expires_at=None))
    assert watch.missing == ()
    assert watch.evaluated_at == START + timedelta(seconds=1)


def test_a_withdrawn_alert_fires_nothing(watch: Watch) -> None:
    reached = watch.propose(make_alert(1), Position(1, 0))
    watch.evaluate(make_batch(1, 99.0))
    not_reached = watch.propose(make_alert(2), Position(1, 1))
    watch.withdraw(reached)
    watch.withdraw(not_reached)
    watch.evaluate(make_batch(2, 99.0))
    assert pending(watch) == []
    assert watch.watched == 0


def test_a_replaced_alert_is_forgotten(watch: Watch) -> None:
    watch.load([replace(make_alert(1), armed=Position(1, 0)), replace(make_alert(2), armed=None)])
    assert watch.watched == 1
    watch.forget(make_alert(2))
    watch.forget(replace(make_alert(1), armed=Position(1, 0)))
    assert watch.watched == 0


def test_the_checkpoint_stays_in_front_of_what_is_not_committed(watch: Watch) -> None:
    watch.load([replace(make_alert(1), armed=Position(1, 0))])
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(make_batch(2, 99.0))
    watch.evaluate(make_batch(3, 99.0))
    checkpoint = watch.progress().checkpoint
    assert checkpoint.resume.position == Position(1, 1)
    assert checkpoint.evaluated == Position(1, 3)
    watch.settle(1)
    assert watch.progress().checkpoint.resume.position == Position(1, 3)


def test_the_checkpoint_stays_at_the_position_of_an_alert_being_committed(watch: Watch) -> None:
    alert = watch.propose(make_alert(), Position(1, 2))
    for sequence in (1, 2, 3, 4):
        watch.evaluate(make_batch(sequence, 101.0))
    assert watch.progress().checkpoint.resume.position == Position(1, 2)
    watch.confirm(alert)
    assert watch.progress().checkpoint.resume.position == Position(1, 4)


def test_a_batch_that_was_evaluated_is_left_out(watch: Watch) -> None:
    watch.evaluate(make_batch(2, 101.0, sequence_in_shard=1))
    watch.load([replace(make_alert(), armed=NOWHERE)])
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))
    watch.skip(Position(1, 2), at=START)
    assert pending(watch) == []
    assert watch.progress().missing == ()


def crashed(watch: Watch, *, resume: Position) -> Watch:
    """Return the watch of the next process, which goes on from an earlier mark."""
    return Watch(replace(watch.progress().checkpoint, resume=Mark(resume, START)), LEASE)


def test_a_repetition_that_is_read_again_does_not_fire_an_alert_set_in_between(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 99.0))
    alert = watch.propose(make_alert(), Position(1, 1))
    watch.confirm(alert)
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))
    next_watch = crashed(watch, resume=Position(1, 0))
    next_watch.load([alert])

    next_watch.evaluate(make_batch(1, 99.0))
    next_watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))
    assert pending(next_watch) == []

    next_watch.evaluate(make_batch(3, 99.0, sequence_in_shard=2))
    assert pending(next_watch) == [(1, 1)]


def test_a_batch_that_filled_a_hole_fills_it_again(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(make_batch(2, 101.0, sequence_in_shard=3))
    alert = watch.propose(make_alert(), Position(1, 2))
    watch.confirm(alert)
    watch.evaluate(make_batch(3, 99.0, sequence_in_shard=2))
    next_watch = crashed(watch, resume=Position(1, 2))
    next_watch.load([alert])

    next_watch.evaluate(make_batch(3, 99.0, sequence_in_shard=2))

    assert pending(next_watch) == [(1, 1)]


def test_a_repetition_stays_one_when_an_alert_is_taken_up_in_front_of_it(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 99.0))
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))

    assert watch.take_up([replace(make_alert(), armed=Position(1, 1))])
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))

    assert pending(watch) == []


def test_only_the_last_repetitions_are_remembered(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 99.0))
    for sequence in range(2, MAX_REPEATS + 5):
        watch.evaluate(make_batch(sequence, 99.0, sequence_in_shard=1))

    repeats = watch.progress().checkpoint.repeats

    assert (len(repeats), repeats[0], repeats[-1]) == (MAX_REPEATS, Position(1, 5), Position(1, MAX_REPEATS + 4))


def test_a_batch_that_is_repeated_in_the_stream_does_not_fire_an_alert_set_in_between(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 99.0))
    watch.confirm(watch.propose(make_alert(), Position(1, 1)))
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))
    assert pending(watch) == []


@pytest.mark.parametrize("later", [EPOCH + 1, EPOCH - 1])
def test_a_late_repetition_from_another_epoch_does_not_fire_an_alert_set_in_between(watch: Watch, later: int) -> None:
    """The publisher has started again meanwhile, with its clock set back or not; a crash of ours changes nothing."""
    watch.evaluate(make_batch(1, 99.0))
    watch.evaluate(replace(make_batch(2, 99.0, sequence_in_shard=1), epoch=later))
    watch = Watch(watch.progress().checkpoint, LEASE)
    watch.confirm(watch.propose(make_alert(), Position(1, 2)))
    watch.evaluate(make_batch(3, 99.0, sequence_in_shard=1))
    watch.evaluate(replace(make_batch(4, 99.0, sequence_in_shard=1), epoch=later))
    assert pending(watch) == []
    watch.evaluate(replace(make_batch(5, 99.0, sequence_in_shard=2), epoch=later))
    assert pending(watch) == [(1, 1)]


def test_what_a_publisher_lost_before_its_start_is_a_recorded_interval(watch: Watch) -> None:
    """It dropped ticks to its end, so no later batch of that epoch shows the hole; the next begins at 2."""
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(replace(make_batch(60, 101.0, sequence_in_shard=2), epoch=EPOCH + 1))
    expected = NotEvaluated(
        Reason.SEQUENCE_JUMP, START + timedelta(seconds=1), START + timedelta(seconds=60), 3, "feed"
    )
    assert watch.progress().missing == (expected,)


def test_what_a_crash_left_uncommitted_is_evaluated_again(watch: Watch) -> None:
    alert = replace(make_alert(), armed=Position(1, 0))
    watch.load([alert])
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(make_batch(2, 99.0))
    watch.evaluate(make_batch(3, 101.0))
    after_crash = Watch(watch.progress().checkpoint, LEASE)
    after_crash.load([alert])
    assert after_crash.follow(StreamView(1, 1, 3)) == Position(1, 1)
    for sequence, price in ((2, 99.0), (3, 101.0), (4, 101.0)):
        after_crash.evaluate(make_batch(sequence, price))
    assert pending(after_crash) == [(1, 1)]
    assert after_crash.progress().missing == ()


def test_a_replaced_stream_is_a_recorded_interval_until_its_first_tick(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    assert watch.follow(StreamView(2, 1, 0)) == Position(2, 0)
    assert watch.progress().missing == ()
    assert watch.progress().checkpoint.resume.position == Position(1, 1)
    watch.evaluate(make_batch(1, 101.0, stream=2, sequence_in_shard=2))
    progress = watch.progress()
    expected = NotEvaluated(Reason.STREAM_REPLACED, START + timedelta(seconds=1), START + timedelta(seconds=1), 3)
    assert progress.missing == (expected,)
    assert progress.checkpoint.resume.position == Position(2, 1)
    watch.saved(progress)
    assert watch.progress().missing == ()


@pytest.mark.parametrize(("last", "until"), [(70, 70), (0, 1)])
def test_old_ticks_of_a_new_stream_do_not_shorten_the_interval_of_what_was_lost(
    watch: Watch, last: int, until: int
) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.follow(StreamView(2, 1, 0))
    batch = make_batch(1, 101.0, 101.0, stream=2, sequence_in_shard=2)
    watch.evaluate(replace(batch, base_at=START, offsets_microseconds=[0, last * 1_000_000]))
    (missing,) = watch.progress().missing
    assert (missing.from_at, missing.to_at) == (START + timedelta(seconds=1), START + timedelta(seconds=until))


def test_an_alert_of_the_stream_before_fires_in_the_new_one(watch: Watch) -> None:
    watch.confirm(watch.propose(make_alert(), Position(1, 500)))
    watch.follow(StreamView(2, 1, 0))
    watch.evaluate(make_batch(1, 99.0, stream=2))
    assert pending(watch) == [(1, 1)]


def test_what_another_replica_has_armed_is_evaluated_from_its_position(watch: Watch) -> None:
    watch.load([replace(make_alert(1, price="90"), armed=NOWHERE)])
    for sequence, price in ((1, 99.0), (2, 101.0), (3, 99.5), (4, 101.0)):
        watch.evaluate(make_batch(sequence, price))
    handed_over = replace(make_alert(2), armed=Position(1, 2))
    assert watch.take_up([handed_over, replace(make_alert(3), armed=None)])
    assert not watch.take_up([handed_over])
    assert watch.progress().checkpoint.resume.position == watch.evaluated == Position(1, 2)
    assert watch.progress().checkpoint.evaluated == Position(1, 4)
    for sequence, price in ((3, 99.5), (4, 101.0), (5, 101.0)):
        watch.evaluate(make_batch(sequence, price))
    assert [(each.alert_id, each.position) for each in watch.candidates(10)] == [(2, Position(1, 3))]
    assert watch.progress().missing == ()


def test_what_was_taken_up_is_said_until_it_is_saved(watch: Watch) -> None:
    earlier = START - timedelta(seconds=1)
    alerts = [replace(make_alert(1), armed=Position(1, 0), armed_at=earlier), replace(make_alert(2), armed=NOWHERE)]
    assert not watch.take_up(alerts)
    progress = watch.progress()
    assert progress.taken_up == (TakenUp(1, 1, earlier), TakenUp(2, 1, START))
    watch.saved(progress)
    assert watch.progress().taken_up == ()


def test_nothing_is_read_again_when_no_batch_came_behind_the_position(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.advance(Mark(Position(1, 9), START + timedelta(seconds=9)))
    assert not watch.take_up([replace(make_alert(), armed=Position(1, 1))])
    assert watch.mark == Mark(Position(1, 9), START + timedelta(seconds=9))


def test_what_was_armed_in_an_earlier_stream_is_evaluated_from_the_beginning_of_this_one(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0, stream=2))
    assert watch.take_up([replace(make_alert(), armed=Position(1, 70))])
    assert watch.evaluated == Position(2, 0)
    watch.evaluate(make_batch(1, 101.0, stream=2))
    assert not watch.take_up([replace(make_alert(2), armed=Position(3, 1))])


def test_what_a_replaced_stream_held_for_an_alert_taken_up_too_late_is_recorded(watch: Watch) -> None:
    watch.evaluate(make_batch(9, 99.0, sequence_in_shard=1))
    watch.evaluate(make_batch(1, 101.0, stream=2, sequence_in_shard=2))
    set_at = START + timedelta(seconds=7)

    watch.take_up([replace(make_alert(), armed=Position(1, 8), armed_at=set_at)])

    (missing,) = watch.missing
    assert missing.reason is Reason.STREAM_REPLACED
    assert missing.from_at < set_at
    assert missing.to_at == START + timedelta(seconds=1)


def test_what_is_to_be_read_again_is_lost_with_the_stream_that_is_replaced_before(watch: Watch) -> None:
    watch.evaluate(make_batch(9, 99.0, sequence_in_shard=1))
    set_at = START + timedelta(seconds=7)
    watch.take_up([replace(make_alert(), armed=Position(1, 8), armed_at=set_at)])

    watch.follow(StreamView(2, 1, 0))
    watch.evaluate(make_batch(1, 101.0, stream=2, sequence_in_shard=2))

    (missing,) = watch.missing
    assert missing.from_at < set_at < START + timedelta(seconds=9)


def test_the_tick_before_a_fire_on_ticks_read_again_is_one_from_before(watch: Watch) -> None:
    for sequence, price in ((1, 101.0), (2, 99.0), (3, 101.0)):
        watch.evaluate(make_batch(sequence, price))
    alert = replace(make_alert(), armed=Position(1, 0))

    watch.take_up([alert])
    for sequence, price in ((1, 101.0), (2, 99.0), (3, 101.0)):
        watch.evaluate(make_batch(sequence, price))

    (candidate,) = watch.candidates(10)
    proof = proof_of(alert, candidate)
    assert proof is not None
    assert (candidate.position, proof.position) == (Position(1, 2), Position(1, 1))


def test_no_later_tick_proves_a_fire() -> None:
    alert, candidate = armed_alert(AlertType.BUY), make_candidate(99.0, 6)
    later = EvaluatedTick(101.0, START, "sample", "feed", EPOCH, 3, 7, Position(1, 7))

    assert proof_of(alert, replace(candidate, before=later)) is None
    assert proof_of(alert, replace(candidate, before=replace(later, position=Position(1, 6)))) is not None


def test_an_unreadable_batch_that_is_read_again_is_recorded_once(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.skip(Position(1, 2), at=START + timedelta(seconds=2))
    watch.evaluate(make_batch(3, 101.0, sequence_in_shard=2))

    watch.take_up([replace(make_alert(), armed=Position(1, 1))])
    watch.skip(Position(1, 2), at=START + timedelta(seconds=2))

    assert [missing.reason for missing in watch.missing] == [Reason.BATCH_UNREADABLE]


def test_what_a_publisher_lost_first_is_missing_since_the_shards_own_last_tick(watch: Watch) -> None:
    watch.evaluate(replace(make_batch(1, 101.0), publisher_id="other"))
    watch.advance(Mark(Position(1, 8), START + timedelta(seconds=8)))

    watch.evaluate(make_batch(9, 101.0, sequence_in_shard=2))

    (missing,) = watch.missing
    assert (missing.from_at, missing.to_at) == (START + timedelta(seconds=1), START + timedelta(seconds=9))


def test_repetitions_that_the_stream_holds_no_more_are_forgotten(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 99.0))
    watch.evaluate(make_batch(2, 99.0, sequence_in_shard=1))
    watch.evaluate(make_batch(3, 99.0, sequence_in_shard=1))

    watch.follow(StreamView(1, 3, 3))

    assert watch.progress().checkpoint.repeats == (Position(1, 3),)


def test_while_ticks_are_read_again_no_alert_is_passed(watch: Watch) -> None:
    alert = replace(make_alert(price="1"), armed=NOWHERE, expires_at=START)
    watch.load([alert])
    watch.evaluate(make_batch(1, 101.0))
    watch.take_up([replace(make_alert(2, price="1"), armed=NOWHERE)])
    assert not watch.has_passed(alert)
    watch.evaluate(make_batch(1, 101.0))
    assert watch.has_passed(alert)


def test_a_shard_without_batches_goes_along_and_its_losses_end_with_the_next_tick_of_another(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.advance(Mark(Position(1, 1), START))
    watch.lose(Reason.STREAM_TRIMMED)
    watch.advance(Mark(Position(1, 7), START + timedelta(seconds=7)))
    expected = NotEvaluated(Reason.STREAM_TRIMMED, START + timedelta(seconds=1), START + timedelta(seconds=7), 3)
    assert watch.progress().missing == (expected,)
    assert watch.evaluated == Position(1, 7)


def test_what_came_while_another_shard_was_taken_came_during_no_gap(watch: Watch) -> None:
    watch.load([replace(make_alert(), armed=NOWHERE)])
    watch.follow(StreamView(1, 1, 0))
    watch.follow(StreamView(1, 1, 5), was_followed=True)
    watch.evaluate(make_batch(1, 99.0))
    assert [candidate.crossed_during_gap for candidate in watch.candidates(10)] == [False]


def test_a_missing_batch_and_an_unreadable_one_are_recorded(watch: Watch) -> None:
    watch.evaluate(make_batch(1, 101.0))
    watch.evaluate(make_batch(2, 101.0, sequence_in_shard=4))
    captured_at = START + timedelta(minutes=1)
    watch.skip(Position(1, 3), at=captured_at)
    jump, unreadable = watch.progress().missing
    assert (jump.reason, jump.shard) == (Reason.SEQUENCE_JUMP, 3)
    assert unreadable == NotEvaluated(Reason.BATCH_UNREADABLE, START + timedelta(seconds=2), captured_at, 3)
    assert watch.evaluated == Position(1, 3)


@dataclass(frozen=True)
class Row:
    alert: Alert
    fired_by: Position | None = None
    is_waiting: bool = False


@dataclass
class Setting:
    """A request to set an alert, at one of its steps."""

    alert: Alert
    latest: Position
    armed: Alert | None = None
    is_committed: bool = False
    replaced: Alert | None = None


class OneFireWhateverDies(RuleBasedStateMachine):
    """All steps of setting, evaluating, firing and saving in any order, with crashes between any two of them.

    The database is a dictionary that outlives crashes, the stream a list; the watch dies with the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, Row] = {}
        self.fires: list[tuple[int, int]] = []
        self.deleted: set[int] = set()
        self.stream: list[float] = []
        self.saved_checkpoint = FIRST_START
        self.next_id = 1
        self.start_process()

    def start_process(self) -> None:
        self.watch = Watch(self.saved_checkpoint, LEASE)
        self.settings: list[Setting] = []
        self.in_transaction: Sequence[Candidate] = ()
        self.watch.load(row.alert for row in self.rows.values() if row.fired_by is None and not row.is_waiting)
        view = StreamView(1, 1, len(self.stream))
        assert self.watch.follow(view) == Position(1, self.watch.evaluated.sequence)

    @rule(prices=st.lists(st.sampled_from([98.0, 99.0, 100.0, 101.0]), min_size=1, max_size=3), evaluated=st.booleans())
    def publish(self, prices: list[float], *, evaluated: bool) -> None:
        for price in prices:
            self.stream.append(price)
            if evaluated:
                self.evaluate()

    @rule()
    def evaluate(self) -> None:
        sequence = self.watch.evaluated.sequence + 1
        if sequence <= len(self.stream):
            self.watch.evaluate(make_batch(sequence, self.stream[sequence - 1]))

    @rule(price=PRICES, alert_type=st.sampled_from(AlertType), steps=st.integers(0, 3))
    def set_an_alert(self, price: str, alert_type: AlertType, steps: int) -> None:
        self.next_id += 1
        self.begin(make_alert(self.next_id, price=price, alert_type=alert_type), steps)

    @precondition(lambda self: self.rows)
    @rule(chosen=st.integers(0, 50), price=PRICES, steps=st.integers(0, 3))
    def set_an_alert_again(self, chosen: int, price: str, steps: int) -> None:
        old = list(self.rows.values())[chosen % len(self.rows)].alert
        if all(setting.alert.id != old.id for setting in self.settings):
            self.begin(old.set_again(symbol=old.symbol, price=Decimal(price), at=START), steps)

    def begin(self, alert: Alert, steps: int) -> None:
        self.settings.append(Setting(alert, Position(1, len(self.stream))))
        for _ in range(steps):
            self.advance_a_setting(-1, succeeds=True)

    @rule(chosen=st.integers(0, 50), succeeds=st.booleans())
    def advance_a_setting(self, chosen: int, *, succeeds: bool) -> None:
        if not self.settings:
            return
        setting = self.settings[chosen % len(self.settings)]
        if setting.armed is None:
            setting.armed = self.watch.propose(setting.alert, setting.latest)
        elif not setting.is_committed and not succeeds:
            self.watch.withdraw(setting.armed)
            self.settings.remove(setting)
        elif not setting.is_committed:
            old = self.rows.get(setting.alert.id)
            setting.replaced = old.alert if old else None
            self.rows[setting.alert.id] = Row(setting.armed)
            setting.is_committed = True
        else:
            self.watch.confirm(setting.armed)
            if setting.replaced is not None and succeeds:
                self.watch.forget(setting.replaced)
            self.settings.remove(setting)

    @rule(price=PRICES, alert_type=st.sampled_from(AlertType), published=st.lists(st.sampled_from([99.0, 100.0])))
    def have_an_alert_set_elsewhere(self, price: str, alert_type: AlertType, published: list[float]) -> None:
        """Commit an alert on a replica that does not hold the shard, ticks coming before it is taken up here."""
        self.next_id += 1
        alert = make_alert(self.next_id, price=price, alert_type=alert_type)
        self.rows[alert.id] = Row(replace(alert, armed=Position(1, len(self.stream))), is_waiting=True)
        self.publish(published, evaluated=True)

    @precondition(lambda self: self.rows)
    @rule(chosen=st.integers(0, 50), price=PRICES)
    def have_an_alert_set_again_elsewhere(self, chosen: int, price: str) -> None:
        old = list(self.rows.values())[chosen % len(self.rows)].alert
        if all(setting.alert.id != old.id for setting in self.settings):
            again = old.set_again(symbol=old.symbol, price=Decimal(price), at=START)
            self.rows[old.id] = Row(replace(again, armed=Position(1, len(self.stream))), is_waiting=True)

    @rule()
    def take_up_what_was_set_elsewhere(self) -> None:
        self.watch.take_up(row.alert for row in self.rows.values() if row.is_waiting and row.fired_by is None)

    @precondition(lambda self: self.rows)
    @rule(chosen=st.integers(0, 50), dies=st.booleans())
    def delete_an_alert(self, chosen: int, *, dies: bool) -> None:
        row = list(self.rows.values())[chosen % len(self.rows)]
        if any(setting.alert.id == row.alert.id for setting in self.settings):
            return
        del self.rows[row.alert.id]
        self.deleted.add(row.alert.id)
        if dies:
            self.crash()
            return
        self.watch.forget(row.alert)

    @rule(limit=st.integers(1, 3))
    def commit_fires(self, limit: int) -> None:
        if self.in_transaction:
            return
        self.in_transaction = self.watch.candidates(limit)
        for candidate in self.in_transaction:
            row = self.rows.get(candidate.alert_id)
            if row is not None and row.alert.generation == candidate.generation and row.fired_by is None:
                self.rows[candidate.alert_id] = replace(row, fired_by=candidate.position)
                self.fires.append((candidate.alert_id, candidate.generation))
                assert candidate.alert_id not in self.deleted

    @rule()
    def settle_fires(self) -> None:
        self.watch.settle(len(self.in_transaction))
        self.in_transaction = ()

    @rule(crashes=st.booleans())
    def save_checkpoint(self, *, crashes: bool) -> None:
        progress = self.watch.progress()
        assert progress.missing == ()
        self.saved_checkpoint = progress.checkpoint
        for taken in progress.taken_up:
            row = self.rows.get(taken.alert_id)
            if row is not None and row.alert.generation == taken.generation:
                self.rows[taken.alert_id] = replace(row, is_waiting=False)
        self.watch.saved(progress)
        if crashes:
            self.crash()

    @rule()
    def crash(self) -> None:
        self.start_process()

    @invariant()
    def nothing_fires_twice_or_on_an_old_tick(self) -> None:
        assert len(self.fires) == len(set(self.fires))
        for row in self.rows.values():
            assert row.alert.armed is not None
            assert row.fired_by is None or row.fired_by > row.alert.armed

    @initialize(ends_with_crash=st.booleans())
    def choose_end(self, *, ends_with_crash: bool) -> None:
        self.ends_with_crash = ends_with_crash

    def teardown(self) -> None:
        if self.ends_with_crash:
            self.save_checkpoint(crashes=True)
        while self.settings:
            self.advance_a_setting(0, succeeds=True)
        self.settle_fires()
        self.take_up_what_was_set_elsewhere()
        while self.watch.evaluated.sequence < len(self.stream):
            self.evaluate()
        while self.watch.backlog:
            self.commit_fires(3)
            self.settle_fires()
        self.nothing_fires_twice_or_on_an_old_tick()
        for row in self.rows.values():
            assert row.alert.armed is not None
            after = range(row.alert.armed.sequence, len(self.stream))
            reached = next((index + 1 for index in after if self.reaches(row.alert, self.stream[index])), None)
            assert (row.fired_by.sequence if row.fired_by else None) == reached

    @staticmethod
    def reaches(alert: Alert, price: float) -> bool:
        target = float(alert.price)
        return price <= target if alert.type is AlertType.BUY else price >= target


TestOneFireWhateverDies = OneFireWhateverDies.TestCase
TestOneFireWhateverDies.settings = settings(max_examples=800, stateful_step_count=30)


def test_what_a_stream_held_that_was_replaced_before_anything_was_evaluated_is_recorded(watch: Watch) -> None:
    watch.follow(StreamView(2, 1, 0))

    watch.evaluate(make_batch(1, 101.0, stream=2))

    assert [missing.reason for missing in watch.missing] == [Reason.STREAM_REPLACED]


def test_the_first_stream_of_all_has_lost_nothing_yet(watch: Watch) -> None:
    watch.follow(StreamView(1, 1, 0))

    watch.evaluate(make_batch(1, 101.0))

    assert watch.missing == ()
