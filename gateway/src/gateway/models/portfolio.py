"""What a user holds by the last syncs, and how its broker is asked for it."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gateway.models.credentials import Checksum, Credential, Credentials
from gateway.models.origins import AnyAsOf, AnySource, HowFresh
from gateway.reply import Date, DateTime, From, Money, Quantity, Reply, always

Broker = Literal["zerodha", "icici"]


class ZerodhaBySecret(Credentials):
    """A sync from Zerodha; the secret is forgotten with the request."""

    api_key: Credential
    api_secret: Credential
    request_token: Credential


class ZerodhaByChecksum(Credentials):
    """A sync from Zerodha for which the secret is not revealed.

    `checksum` is the SHA-256 of api_key + request_token + api_secret in hexadecimal digits.
    """

    api_key: Credential
    checksum: Checksum
    request_token: Credential


# The mark keeps a tag apart from a field in an error's location.
SECRET_TAG = "#api_secret"  # noqa: S105  # a name
CHECKSUM_TAG = "#checksum"


def _proof_in(body: Any) -> str | None:
    if not isinstance(body, dict) or ("api_secret" in body) == ("checksum" in body):
        return None
    return CHECKSUM_TAG if "checksum" in body else SECRET_TAG


ZerodhaCredentials = Annotated[
    Annotated[ZerodhaBySecret, Tag(SECRET_TAG)] | Annotated[ZerodhaByChecksum, Tag(CHECKSUM_TAG)],
    Discriminator(
        _proof_in,
        custom_error_type="proof_of_key",
        custom_error_message="Send api_key, request_token and exactly one of api_secret and checksum",
    ),
]


class IciciCredentials(Credentials):
    """A sync from ICICI Direct; the secret is forgotten with the request."""

    api_key: Credential
    api_secret: Credential
    api_session: Credential


class Synced(Reply):
    """A finished sync; `positions_count` counts net and day positions."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Portfolio synced")]
    broker: Broker
    holdings_count: int
    positions_count: int
    net_positions_count: int
    synced_at: DateTime
    sync_id: Annotated[str, From("id")]
    simulated: Annotated[bool, From("is_simulated")]


class BrokerSync(Reply):
    """How fresh one broker's rows are."""

    broker: Broker
    synced_at: DateTime
    simulated: Annotated[bool, From("is_simulated")]


DIFFERENCE_REASONS = ("t1_quantity", "price_time", "corporate_action", "rounding", "unexplained")


class PnlDifference(Reply):
    """A part of the difference between our P&L and the broker's.

    `price_time` is what the price moved since the sync, `t1_quantity` units not settled that the broker leaves out,
    `corporate_action` units that splits and bonuses added since, `rounding` paise, `unexplained` the rest.
    """

    reason: Annotated[str, Field(json_schema_extra={"enum": list(DIFFERENCE_REASONS)})]
    amount: Money


class Row(Reply):
    """What holdings and positions have in common; a figure that cannot be known is null."""

    broker: Broker
    exchange: str
    tradingsymbol: str
    instrument: str
    product: str | None
    quantity: Quantity
    average_price: Money | None
    """The mean price paid for a unit, in today's units."""
    last_price: Money | None
    """The price that the row is valued at."""
    pnl: Money | None
    """Ours, at `last_price`."""
    broker_pnl: Money | None
    """The broker's own, at the sync; null when it gave none."""
    pnl_difference: Money | None
    """`pnl` less `broker_pnl`; null when one of them is."""
    pnl_differences: list[PnlDifference]
    """What the difference consists of, in parts that add up to it; empty when there is none."""
    source: AnySource
    as_of: AnyAsOf
    freshness: HowFresh
    synced_at: DateTime
    simulated: Annotated[bool, From("is_simulated")]


class Holding(Row):
    """One holding at the price it is valued at."""

    isin: str | None
    t1_quantity: Quantity
    """The units of `quantity` that were not settled at the sync."""
    invested: Money | None
    """What the units cost; null when the broker does not know it."""
    current_value: Money | None
    """What the units are worth at `last_price`; null without one."""
    pnl_pct: Annotated[Money | None, From("pnl_percent")]
    """`pnl` in percent of `invested`; null when that is 0 or null."""
    day_change: Money | None
    """The value's change since the previous close; null without one."""
    day_change_pct: Annotated[Money | None, From("day_change_percent")]
    """The same in percent of the value then."""
    split_factor: Quantity
    """By what splits and bonuses since the sync multiplied the units; 1 without any."""


class HoldingsSummary(Reply):
    """Sums of the rows whose cost and price are known; `simulated` says that rows of the sandbox are among them."""

    total_invested: Money
    total_current_value: Money
    total_pnl: Money
    total_pnl_pct: Annotated[Money | None, From("total_pnl_percent")]
    """`total_pnl` in percent of `total_invested`; null when that is 0."""
    total_day_change: Money | None
    """Sums the rows that have a `day_change`; null when none has."""
    unvalued_count: int
    """The rows that are in none of the sums before because their cost or price is unknown; for the day's sum see
    `day_unvalued_count`."""
    day_unvalued_count: int
    """The rows that are not in `total_day_change` because their price or its previous close is unknown."""
    simulated: Annotated[bool, From("is_simulated")]


class HoldingList(Reply):
    """All holdings by broker; `synced` is false as long as none was ever synced."""

    holdings: list[Holding]
    summary: HoldingsSummary
    synced: Annotated[bool, From("is_synced")]
    brokers: Annotated[list[BrokerSync], From("syncs")]


class Position(Row):
    """One position at the price it is valued at; `quantity` is below 0 for a short one and 0 for a closed one."""

    type: Literal["net", "day"]
    overnight_quantity: Quantity | None
    """The units carried from the day before the sync; null when the broker does not say."""
    multiplier: Quantity
    """What one unit of `quantity` stands for; 1 for shares."""
    value: Money | None
    """`quantity` times `multiplier` times `last_price`; null without a price."""
    m2m: Money | None
    """The broker's own mark to market of the sync; null when it gave none."""
    expiry: Date | None
    strike: Money | None
    option_type: str | None


class PositionsSummary(Reply):
    """Sums of all rows whose P&L is known, whichever type was asked for."""

    total_pnl: Money
    """Sums the net positions."""
    day_pnl: Money
    """Sums the day's positions, which are part of the same trades."""
    unvalued_count: int
    """The rows that are in no sum because their P&L is unknown."""
    simulated: Annotated[bool, From("is_simulated")]


class PositionList(Reply):
    """The open positions, and apart from them those closed today."""

    positions: list[Position]
    closed: list[Position]
    summary: PositionsSummary
    synced: Annotated[bool, From("is_synced")]
    brokers: Annotated[list[BrokerSync], From("syncs")]


class PnlSummary(Reply):
    """Everything at the prices it is valued at now."""

    total_invested: Money
    total_current_value: Money
    total_pnl: Money
    total_pnl_pct: Annotated[Money | None, From("total_pnl_percent")]
    total_day_change: Annotated[Money | None, From("day_change")]
    """Sums the holdings' change since the previous close, where it is known; null when it is of none."""
    day_unvalued_count: int
    """The holdings that are not in `total_day_change`."""
    positions_pnl: Money
    """Sums the net positions, which are in no other sum."""
    simulated: Annotated[bool, From("is_simulated")]


class PnlPoint(Reply):
    """One day of the trend; `date` is the day in India."""

    date: Date
    total_invested: Money
    total_current_value: Money
    total_pnl: Money
    total_pnl_pct: Annotated[Money | None, From("total_pnl_percent")]
    positions_pnl: Money
    brokers: list[Broker]
    taken_at: DateTime
    simulated: Annotated[bool, From("is_simulated")]


class PnlTrend(Reply):
    """P&L as it stands and day by day, oldest first; a day without a snapshot is absent."""

    summary: PnlSummary
    trend: list[PnlPoint]
    days: int
    synced: Annotated[bool, From("is_synced")]
    brokers: Annotated[list[BrokerSync], From("syncs")]


class DeletedCounts(Reply):
    """How much was deleted."""

    holdings: Annotated[int, From("holdings_count")]
    positions: Annotated[int, From("positions_count")]
    snapshots: Annotated[int, From("snapshots_count")]


class Deleted(Reply):
    """Synced data that is gone for good; all zero when there was none."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Synced portfolio data deleted")]
    deleted: Annotated[DeletedCounts, From(lambda message: message)]
