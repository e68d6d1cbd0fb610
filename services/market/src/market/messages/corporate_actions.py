"""What changes how many units a holder has."""

from collections.abc import Iterable

from bourse.market.v1 import corporate_actions_pb2
from market.domain.splits import Split


def splits_message(splits: Iterable[Split]) -> corporate_actions_pb2.ListSplitsResponse:
    """Answer with splits."""
    return corporate_actions_pb2.ListSplitsResponse(
        splits=[
            corporate_actions_pb2.Split(
                instrument=each.instrument,
                ex_date=each.ex_date.isoformat(),
                new_units=each.new_units,
                old_units=each.old_units,
                source=each.source,
            )
            for each in splits
        ]
    )
