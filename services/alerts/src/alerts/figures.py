"""What alerts tells of itself whenever somebody asks, from what its parts know anyway."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from alerts.domain.progress import ProgressKeeper
from alerts.domain.shards import ShardKeeper
from alerts.domain.watches import Watches
from alerts.feed.mails import Mails
from alerts.feed.ticks import TickFeed
from chassis.clock import Clock
from chassis.metrics import Values, reading

UNKNOWN: Values = {}


@contextmanager
def telling_of_evaluation(
    feed: TickFeed, *, watches: Watches, keeper: ShardKeeper, progress: ProgressKeeper, clock: Clock
) -> Iterator[None]:
    """Tell what is watched for, how far ticks were evaluated and which shards are held, until the block is left."""
    readings = [
        reading("bourse_alerts_watched", "Armed alerts watched for.", lambda: watches.watched),
        reading("bourse_alerts_waiting", "Alerts found waiting to be taken up or armed.", lambda: feed.waiting),
        reading("bourse_alerts_fires_pending", "Fires that wait to be committed.", lambda: watches.backlog),
        reading("bourse_alerts_shards_held", "Shards evaluated here.", lambda: len(watches)),
        reading(
            "bourse_alerts_shard_changes",
            "Shards that began or ceased to be evaluated here.",
            lambda: {("taken",): keeper.taken, ("released",): keeper.released, ("lost",): keeper.lost},
            labels=["change"],
            is_counter=True,
        ),
        reading(
            "bourse_alerts_checkpoint_age_seconds",
            "For how long there may have been progress that is not saved.",
            lambda: progress.age_seconds,
        ),
        reading(
            "bourse_alerts_evaluated_age_seconds",
            "Our time less that of the last tick evaluated; absent while no shard is held.",
            lambda: _age(watches.evaluated_at, clock),
        ),
    ]
    with ExitStack() as stack:
        for each in readings:
            stack.enter_context(each)
        stack.enter_context(_telling_of_stream(feed))
        yield


@contextmanager
def _telling_of_stream(feed: TickFeed) -> Iterator[None]:
    tally = feed.tally
    with (
        reading(
            "bourse_alerts_stream_lag_batches",
            "Batches by which the stream was ahead; absent while it is not followed.",
            lambda: UNKNOWN if feed.lag_batches is None else feed.lag_batches,
        ),
        reading(
            "bourse_alerts_stream_interruptions",
            "Times that following the stream broke off, or could not begin anew.",
            lambda: feed.interruptions,
            is_counter=True,
        ),
        reading(
            "bourse_alerts_batches",
            "Batches read of the shards held here.",
            lambda: {("evaluated",): tally.batches, ("unreadable",): tally.unreadable},
            labels=["outcome"],
            is_counter=True,
        ),
        reading(
            "bourse_alerts_ticks", "Ticks in the batches that were evaluated.", lambda: tally.ticks, is_counter=True
        ),
    ):
        yield


@contextmanager
def telling_of_mails(mails: Mails, *, clock: Clock) -> Iterator[None]:
    """Tell which mails about fires wait, until the block is left."""
    with (
        reading("bourse_alerts_mails_waiting", "Mails neither sent nor given up.", lambda: mails.waiting.count),
        reading(
            "bourse_alerts_mails_oldest_seconds",
            "Time since the fire of the oldest mail that waits; absent when none does.",
            lambda: _age(mails.waiting.oldest_at, clock),
        ),
        reading(
            "bourse_alerts_mails_held_back",
            "Whether new mails wait because those before them did not get through: 1 or 0.",
            lambda: float(mails.are_held_back),
        ),
    ):
        yield


def _age(moment: datetime | None, clock: Clock) -> Values:
    return UNKNOWN if moment is None else (clock.now() - moment).total_seconds()
