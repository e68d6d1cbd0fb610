"""What portfolio tells of itself whenever somebody asks, from what its parts know anyway."""

from collections.abc import Iterator
from contextlib import contextmanager

from chassis.metrics import reading
from portfolio.domain.nightly import NightlySnapshots
from portfolio.domain.summary_sending import SummaryDesk


@contextmanager
def telling(*, nightly: NightlySnapshots, summaries: SummaryDesk) -> Iterator[None]:
    """Tell how nightly snapshots and summaries stand, until the block is left."""
    with (
        reading(
            "bourse_portfolio_snapshots",
            "Users whose nightly snapshots were completed.",
            lambda: nightly.taken,
            is_counter=True,
        ),
        reading(
            "bourse_portfolio_snapshots_missing",
            "Users who lacked a snapshot of the last session when that was last tried.",
            lambda: nightly.missing,
        ),
        reading(
            "bourse_portfolio_summaries_under_way",
            "Summaries being gathered or sent.",
            lambda: summaries.under_way,
        ),
    ):
        yield
