"""What every letter that shows a price says at its end; the gateway says the same beside signals."""

NOTICE = (
    "Bourse is not registered with SEBI as an Investment Adviser or Research Analyst. "
    "Prices, patterns and their statistics are information only and no investment advice."
)
