"""Where a price comes from and how far it can be relied on: the three fields that every object with prices carries."""

from typing import Annotated

from pydantic import Field

from gateway.reply import DateTime, Freshness, From

Source = Annotated[str, From("provenance.source")]
AsOf = Annotated[DateTime, From("provenance.as_of"), Field(serialization_alias="as_of")]
HowFresh = Annotated[Freshness | None, From("provenance.freshness")]
