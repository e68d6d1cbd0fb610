"""Where a price comes from and how far it can be relied on: the three fields that every object with prices carries.

Types on a `provenance` that may be absent begin with `Any`; the texts are for fields read from elsewhere.
"""

from typing import Annotated

from pydantic import Field

from gateway.reply import DateTime, Freshness, From

ABOUT_SOURCE = Field(
    description=(
        "Who gave the price, or whatever else is told: `sample`, `replay`, `zerodha`, `icici`, `yahoo` or `fmp`; of "
        "several prices, who gave the oldest. Null without any."
    )
)
ABOUT_AS_OF = Field(description="When the price was made; of several, the oldest. Null without any.")
ABOUT_FRESHNESS = Field(
    description=(
        "How far the price can be relied on; of several, the worst. `live`: the market's, at most a minute old. "
        "`delayed`: from a source that is late by a known time. `closed`: the last of a session that is over. "
        "`stale`: older than it should be, the last good answer. `simulated`: made up or replayed. Null without any."
    )
)

Source = Annotated[str, From("provenance.source"), ABOUT_SOURCE]
AnySource = Annotated[str | None, From("provenance.source"), ABOUT_SOURCE]
AsOf = Annotated[DateTime, From("provenance.as_of"), Field(serialization_alias="as_of"), ABOUT_AS_OF]
AnyAsOf = Annotated[DateTime | None, From("provenance.as_of"), Field(serialization_alias="as_of"), ABOUT_AS_OF]
HowFresh = Annotated[Freshness | None, From("provenance.freshness"), ABOUT_FRESHNESS]
