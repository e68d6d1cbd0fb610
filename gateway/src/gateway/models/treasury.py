"""What the United States pay for their debt, as clients see it."""

from gateway.reply import (
    CamelReply,
    Date,
    example,
)


class TreasuryRates(CamelReply):
    """The yields of one day as the source quotes them, in percent a year; null where there is none."""

    model_config = example(
        date="2026-04-06",
        month1=4.21,
        month2=4.22,
        month3=4.2,
        month6=4.11,
        year1=3.95,
        year2=3.81,
        year3=3.8,
        year5=3.92,
        year7=4.09,
        year10=4.28,
        year20=4.85,
        year30=4.8,
    )

    date: Date
    month1: float | None
    month2: float | None
    month3: float | None
    month6: float | None
    year1: float | None
    year2: float | None
    year3: float | None
    year5: float | None
    year7: float | None
    year10: float | None
    year20: float | None
    year30: float | None
