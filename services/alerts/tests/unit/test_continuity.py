from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.domain.alerts import Freshness
from alerts.domain.continuity import (
    MAX_EPOCHS,
    MAX_EPOCHS_OF_PUBLISHER,
    Admission,
    Continuity,
    NotEvaluated,
    PublisherShard,
    Reason,
    Resumption,
    StreamView,
    resume,
)
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import TickBatch

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
EPOCH = int(START.timestamp() * 1e6) + 1


def make_batch(
    sequence: int,
    *,
    epoch: int = EPOCH,
    shard: int = 3,
    publisher_id: str = "feed",
    source: str = "sample",
    freshness: Freshness = Freshness.SIMULATED,
    at: datetime | None = None,
) -> TickBatch:
    return TickBatch(
        position=Position(1, sequence),
        publisher_id=publisher_id,
        epoch=epoch,
        shard=shard,
        sequence=sequence,
        source=source,
        freshness=freshness,
        base_at=at or START + timedelta(seconds=sequence),
        instruments=["NSE:TCS", "NSE:TCS"],
        prices=[100.0, 101.0],
        offsets_microseconds=[1_000, 2_000],
    )


def missing_before(continuity: Continuity, *sequences: int) -> list[NotEvaluated | None]:
    return [continuity.admit(make_batch(sequence), START).missing for sequence in sequences]


@pytest.fixture
def continuity() -> Continuity:
    return Continuity(START)


def test_a_batch_knows_the_times_of_its_ticks() -> None:
    batch = make_batch(0)
    assert batch.time_of(1) == batch.last_at == START + timedelta(milliseconds=2)
    assert batch.first_at == START + timedelta(milliseconds=1)
    empty = replace(batch, instruments=[], prices=[], offsets_microseconds=[])
    assert empty.first_at == empty.last_at == START


def test_batches_without_gaps_miss_nothing(continuity: Continuity) -> None:
    assert missing_before(continuity, 1, 2, 3) == [None, None, None]


def test_a_jump_is_missing_from_the_last_tick_to_the_next(continuity: Continuity) -> None:
    _, missing = missing_before(continuity, 1, 4)
    assert missing == NotEvaluated(
        Reason.SEQUENCE_JUMP, make_batch(1).last_at, make_batch(4).last_at, shard=3, publisher_id="feed"
    )


def test_shards_and_publishers_are_followed_apart(continuity: Continuity) -> None:
    assert continuity.admit(make_batch(1), START).missing is None
    assert continuity.admit(make_batch(1, shard=4), START).missing is None
    assert continuity.admit(make_batch(1, publisher_id="other"), START).missing is None


def test_prices_that_had_not_changed_for_long_do_not_shorten_what_is_missing(continuity: Continuity) -> None:
    missing_before(continuity, 100)
    batch = make_batch(130)
    quiet = replace(batch, base_at=START, offsets_microseconds=[0, 160_000_000])
    missing = continuity.admit(quiet, START).missing
    assert missing is not None
    assert (missing.from_at, missing.to_at) == (make_batch(100).last_at, START + timedelta(seconds=160))


def test_what_is_missing_in_front_of_older_ticks_does_not_end_before_it_begins(continuity: Continuity) -> None:
    missing_before(continuity, 100)
    missing = continuity.admit(make_batch(102, at=START), START).missing
    assert missing is not None
    assert missing.from_at == missing.to_at == make_batch(100).last_at


@pytest.mark.parametrize("later", [EPOCH + 1, EPOCH - 600_000_000])
def test_a_new_epoch_begins_at_one_whatever_clock_it_is_of(continuity: Continuity, later: int) -> None:
    missing_before(continuity, 1, 2)
    assert continuity.admit(make_batch(1, epoch=later), START).missing is None
    missing = continuity.admit(make_batch(3, epoch=later), START).missing
    assert missing is not None
    assert missing.reason is Reason.SEQUENCE_JUMP


def test_who_begins_without_knowing_what_became_of_all_before_leaves_a_hole_behind_the_last_that_came(
    continuity: Continuity,
) -> None:
    missing_before(continuity, 1, 2)
    assert continuity.admit(make_batch(1, publisher_id="other", source="else", at=make_batch(9).last_at), START).is_new
    begun = make_batch(2, epoch=EPOCH + 1, at=START + timedelta(seconds=60))
    missing = continuity.admit(begun, make_batch(9).last_at).missing
    assert missing == NotEvaluated(Reason.SEQUENCE_JUMP, make_batch(2).last_at, begun.last_at, 3, "feed")
    assert missing_in(continuity, 3, epoch=EPOCH + 1) is None


def missing_in(continuity: Continuity, sequence: int, *, epoch: int) -> NotEvaluated | None:
    return continuity.admit(make_batch(sequence, epoch=epoch), START).missing


def test_who_takes_over_under_another_name_leaves_a_hole_behind_the_last_of_the_same_prices(
    continuity: Continuity,
) -> None:
    """One and two lead in turn, each lost to the other; a third publishes other prices all the time."""
    moment = START
    for number, name in enumerate(["one", "two", "one"]):
        lost_at = moment
        moment = START + timedelta(minutes=number)
        batch = make_batch(2, epoch=EPOCH + number, publisher_id=name, at=moment)
        missing = continuity.admit(batch, moment - timedelta(seconds=1)).missing
        assert missing is not None
        if number:
            assert (missing.from_at, missing.to_at) == (lost_at + timedelta(milliseconds=2), batch.last_at)
        noise = make_batch(number + 1, publisher_id="third", source="else", at=moment + timedelta(seconds=59))
        assert continuity.admit(noise, moment).missing is None


def test_who_takes_over_when_prices_are_of_another_freshness_goes_on_from_the_last_of_the_source(
    continuity: Continuity,
) -> None:
    last = make_batch(1, source="zerodha", freshness=Freshness.LIVE, publisher_id="one")
    continuity.admit(last, START)
    noise = make_batch(1, source="yahoo", freshness=Freshness.CLOSED, publisher_id="third", at=make_batch(50).last_at)
    continuity.admit(noise, START)
    begun = make_batch(
        2, source="zerodha", freshness=Freshness.CLOSED, publisher_id="two", at=START + timedelta(seconds=60)
    )
    missing = continuity.admit(begun, noise.last_at).missing
    assert missing is not None
    assert missing.from_at == last.last_at


def test_holes_of_an_epoch_below_the_last_one_are_found(continuity: Continuity) -> None:
    """The clock was set back by ten minutes before the publisher's second start."""
    missing_before(continuity, 1, 2)
    earlier = EPOCH - 600_000_000
    assert missing_in(continuity, 2, epoch=earlier) is not None
    assert missing_in(continuity, 3, epoch=earlier) is None
    assert missing_in(continuity, 5, epoch=earlier) is not None


def test_repetitions_are_known_in_every_epoch(continuity: Continuity) -> None:
    for epoch in (EPOCH, EPOCH - 5, EPOCH + 5):
        assert continuity.admit(make_batch(1, epoch=epoch), START).is_new
    for epoch in (EPOCH, EPOCH - 5, EPOCH + 5):
        assert not continuity.admit(make_batch(1, epoch=epoch), START).is_new
        assert continuity.admit(make_batch(2, epoch=epoch), START) == Admission(is_new=True)


def test_what_was_sent_before_the_first_start_is_not_missing() -> None:
    batch = make_batch(500)
    assert Continuity(batch.first_at).admit(batch, batch.first_at).missing is None


def test_what_may_have_been_sent_since_the_first_start_is_missing(continuity: Continuity) -> None:
    # The publisher ran before: its first 499 batches may be from then, and the last of them may be lost.
    batch = make_batch(500, epoch=EPOCH - 5)
    missing = continuity.admit(batch, START).missing
    assert missing == NotEvaluated(Reason.SEQUENCE_JUMP, START, batch.last_at, batch.shard, batch.publisher_id)
    assert continuity.admit(make_batch(499, epoch=EPOCH - 5), START).is_new


def test_a_publisher_that_started_since_is_missed_from_the_last_tick_of_any(continuity: Continuity) -> None:
    evaluated_until = START - timedelta(seconds=5)
    missing = continuity.admit(make_batch(3), evaluated_until).missing
    assert missing is not None
    assert missing.from_at == evaluated_until


def test_a_repetition_is_not_evaluated_again(continuity: Continuity) -> None:
    missing_before(continuity, 1, 2)
    assert not continuity.admit(make_batch(1), START).is_new
    assert not continuity.admit(make_batch(2), START).is_new


def test_a_batch_that_was_missing_is_evaluated_when_it_comes_late_but_once(continuity: Continuity) -> None:
    missing_before(continuity, 1, 6)
    assert [continuity.admit(make_batch(sequence), START).is_new for sequence in (3, 3, 2, 5, 4, 4)] == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_it_goes_on_from_what_was_seen(continuity: Continuity) -> None:
    missing_before(continuity, 1, 2)
    seen = continuity.seen
    assert seen == (PublisherShard("feed", 3, EPOCH, 2, make_batch(2).last_at, "sample", Freshness.SIMULATED),)
    assert missing_before(Continuity(START, seen), 3) == [None]
    assert missing_before(Continuity(START, seen), 4) != [None]


def test_it_goes_on_from_what_was_seen_without_its_origin(continuity: Continuity) -> None:
    missing_before(continuity, 1, 2)
    older = [replace(each, source=None, freshness=None) for each in continuity.seen]
    assert missing_before(Continuity(START, older), 3) == [None]
    begun = make_batch(2, epoch=EPOCH + 1)
    missing = Continuity(START, older).admit(begun, START).missing
    assert missing is not None
    assert missing.from_at == make_batch(2).last_at


def test_the_epoch_that_came_last_is_at_the_end(continuity: Continuity) -> None:
    for epoch in (5, 3, 4, 3):
        continuity.admit(make_batch(1, epoch=epoch, publisher_id="one"), START)
        continuity.admit(make_batch(2, epoch=epoch, publisher_id="one"), START)
    assert [each.epoch for each in continuity.seen] == [5, 3, 4]
    continuity.admit(make_batch(3, epoch=3, publisher_id="one"), START)
    assert [each.epoch for each in continuity.seen] == [5, 4, 3]


def test_publishers_that_are_silent_longest_are_forgotten_first(continuity: Continuity) -> None:
    for shard in range(MAX_EPOCHS + 1):
        continuity.admit(make_batch(1, shard=shard), START)
    assert len(continuity.seen) == MAX_EPOCHS
    assert continuity.seen[0].shard == 1


def test_one_that_starts_again_and_again_crowds_out_no_other(continuity: Continuity) -> None:
    continuity.admit(make_batch(1, publisher_id="quiet"), START)
    for number in range(MAX_EPOCHS + 1):
        continuity.admit(make_batch(2, epoch=EPOCH + number), START)
    assert [each.publisher_id for each in continuity.seen] == ["quiet", *["feed"] * MAX_EPOCHS_OF_PUBLISHER]
    assert continuity.seen[-1].epoch == EPOCH + MAX_EPOCHS


@pytest.mark.parametrize(
    ("evaluated", "stream", "expected"),
    [
        (Position(1, 5), StreamView(1, 1, 9), Resumption(Position(1, 5), None)),
        (Position(1, 5), StreamView(1, 6, 9), Resumption(Position(1, 5), None)),
        (Position(1, 5), StreamView(1, 7, 9), Resumption(Position(1, 6), Reason.STREAM_TRIMMED)),
        (Position(1, 5), StreamView(2, 1, 9), Resumption(Position(2, 0), Reason.STREAM_REPLACED)),
        (Position(1, 5), StreamView(2, 0, 0), Resumption(Position(2, 0), Reason.STREAM_REPLACED)),
        (NOWHERE, StreamView(1, 1, 9), Resumption(Position(1, 0), None)),
        (NOWHERE, StreamView(1, 4, 9), Resumption(Position(1, 3), Reason.STREAM_REPLACED)),
    ],
)
def test_reading_goes_on_where_it_stopped_or_at_what_is_left(
    evaluated: Position, stream: StreamView, expected: Resumption
) -> None:
    assert resume(evaluated, stream) == expected
    assert stream.end == Position(stream.ordinal, stream.last)


@pytest.mark.parametrize("position", [NOWHERE, Position(1, 0), Position(3, 123_456), Position(2**20 - 1, 2**43 - 1)])
def test_a_packed_position_orders_as_the_position_and_fits_into_63_bits(position: Position) -> None:
    assert 0 <= position.packed < 2**63
    assert position.packed < Position(position.stream + 1, 0).packed
