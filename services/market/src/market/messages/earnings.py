"""When companies report."""

from bourse.market.v1 import earnings_pb2
from market.domain.answers import Answer
from market.domain.earnings import EarningsReport
from market.domain.earnings_desk import Reports
from market.messages.provenance import provenance_message


def earnings_message(answer: Answer[Reports]) -> earnings_pb2.ListEarningsResponse:
    """Answer with reports."""
    return earnings_pb2.ListEarningsResponse(
        reports=map(_report, answer.value), provenance=provenance_message(answer.provenance)
    )


def _report(report: EarningsReport) -> earnings_pb2.EarningsReport:
    return earnings_pb2.EarningsReport(
        date=report.on.isoformat(),
        exchange=report.exchange or "",
        symbol=report.symbol,
        eps_actual=report.eps_actual,
        eps_estimated=report.eps_estimated,
        revenue_actual=report.revenue_actual,
        revenue_estimated=report.revenue_estimated,
        last_updated=report.last_updated.isoformat() if report.last_updated else None,
    )
