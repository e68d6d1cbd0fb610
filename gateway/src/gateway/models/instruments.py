"""The instruments that can be asked for, as clients see them."""

from typing import Annotated, Literal

from gateway.reply import (
    CamelReply,
    From,
    example,
)


class Aliases(CamelReply):
    """What else an instrument is called; null is what is not known."""

    isin: str | None
    yahoo: str | None
    kite_token: int | None
    fmp: str | None


class Instrument(CamelReply):
    """One instrument, by the id that every answer uses, and its other names."""

    model_config = example(
        id="NSE:TCS",
        exchange="NSE",
        symbol="TCS",
        name="Tata Consultancy Services Limited",
        kind="equity",
        currency="INR",
        sector="Information Technology",
        aliases={"isin": "INE467B01029", "yahoo": "TCS.NS", "kiteToken": 2_953_217, "fmp": "TCS.NS"},
    )

    id: Annotated[str, From("instrument.id")]
    exchange: Annotated[str, From("instrument.exchange")]
    symbol: Annotated[str, From("instrument.symbol")]
    name: Annotated[str, From("instrument.name")]
    kind: Annotated[Literal["equity", "index", "currency_pair", "fund"] | None, From("instrument.kind")]
    currency: Annotated[str, From("instrument.currency")]
    sector: Annotated[str | None, From("instrument.sector")]
    aliases: Aliases
