"""What treasuries yield."""

from bourse.market.v1 import treasury_pb2
from market.domain.answers import Answer
from market.domain.treasury_desk import Rates
from market.messages.provenance import provenance_message


def treasury_rates_message(answer: Answer[Rates]) -> treasury_pb2.ListTreasuryRatesResponse:
    """Answer with yields."""
    return treasury_pb2.ListTreasuryRatesResponse(
        rates=[treasury_pb2.TreasuryRates(date=each.on.isoformat(), **each.yields) for each in answer.value],
        provenance=provenance_message(answer.provenance),
    )
