"""Who reports when, as clients see it."""

from typing import Annotated

from pydantic import WithJsonSchema

from gateway.reply import (
    Amount,
    CamelReply,
    example,
)

# What is not known is not there: the document leaves such keys out where all others are null.
Figure = Annotated[Amount | None, WithJsonSchema({"type": "number"})]
Day = Annotated[str | None, WithJsonSchema({"type": "string", "format": "date"})]


class EarningsReport(CamelReply):
    """A report that was made or is expected; a figure that is not known is absent."""

    model_config = example(
        epsActual=0.23,
        epsEstimated=0.08,
        exchange="NASDAQ",
        revenueActual=60_875_000,
        revenueEstimated=106_192_500,
        symbol="TTGT",
    )

    eps_actual: Figure = None
    eps_estimated: Figure = None
    exchange: str
    revenue_actual: Figure = None
    revenue_estimated: Figure = None
    symbol: str
    last_updated: Day = None
