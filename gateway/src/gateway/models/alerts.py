"""Price alerts, and what has come of them, as clients see and send them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.models.amounts import DIGITS, SMALLEST, decimal_of, to_eight_decimals
from gateway.models.origins import ABOUT_FRESHNESS, ABOUT_SOURCE, AnyAsOf, AnySource, HowFresh
from gateway.params import SymbolText
from gateway.reply import DateTime, Freshness, From, Money, Reply, always, rounded

MAX_PRICE = 999_999_999_999
MAX_NOTE_LENGTH = 500
MAX_LATENCY_DECIMALS = 3
# A body holds no ASCII control characters, line breaks among them; the others are refused by alerts.
NOTE_PATTERN = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"

CHANNELS = ("event", "email")
DELIVERY_STATES = ("waiting", "sent", "skipped", "failed")
DELIVERY_REASONS = ("unsubscribed", "unverified", "account_gone", "too_many", "refused", "undeliverable")
ALERT_STATES = ("armed", "waiting", "fired", "expired")

_MOMENT = re.compile(
    "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.][0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)

AlertType = Literal["buy", "sell"]


def _text_or_none(field: str) -> Callable[[Any], str | None]:
    """Return how to read a text that is empty where there is none."""
    return lambda message: getattr(message, field) or None


def _one_of(*values: str) -> Any:
    return Field(json_schema_extra={"enum": list(values)})


class Alert(Reply):
    """One alert: armed, fired or ended without firing."""

    id: str
    type: AlertType
    """A `buy` fires at or below `price`, a `sell` at or above it."""
    symbol: str
    """As its owner wrote it, upper case."""
    instrument: str
    """What that means, `EXCHANGE:SYMBOL`."""
    price: Money
    """The target, in the instrument's currency."""
    created_at: DateTime
    updated_at: DateTime | None
    """When its price was last replaced, which armed it again; null when never."""
    fired_at: DateTime | None
    """When it fired, in the time of the tick that did it; null until then. The tick was published after the alert was
    set, though its price may have been made a little before, a delayed one minutes before."""
    fired_price: float | None
    """The price of that tick, which `source`, `as_of` and `freshness` are about; null until then."""
    source: AnySource
    as_of: AnyAsOf
    freshness: HowFresh
    note: str | None
    expires_at: DateTime | None
    """Until when it can fire, in the ticks' time; null when it does not end."""
    is_expired: bool
    """Whether it ended without firing."""


class AlertList(Reply):
    """All alerts of a user by type, oldest first."""

    buy: list[Alert]
    sell: list[Alert]


class AlertDeleted(Reply):
    """An alert that is gone; what it fired before stays in its history."""

    message: Annotated[str, From(lambda deleted: f"Alert for {deleted.symbol} deleted successfully")]


class AlertsDeleted(Reply):
    """Alerts that are gone, of both types or of one; none were there when `deleted` is 0."""

    message: Annotated[str, always("All alerts deleted successfully")]
    deleted: int


class EvaluatedTick(Reply):
    """A tick that was compared with an alert's price; publisher, epoch, shard and sequence say which it was."""

    price: float
    """In the instrument's currency."""
    at: DateTime
    """When the price was made."""
    source: Annotated[str, ABOUT_SOURCE]
    freshness: Annotated[Freshness | None, ABOUT_FRESHNESS]
    publisher_id: str
    """Which market process published it."""
    epoch: int
    """Which life of that publisher it is from."""
    shard: int
    """Which of the streams that instruments are spread over."""
    sequence: int
    """The number of its batch in that shard and epoch."""


class Delivery(Reply):
    """How far telling of a fire by one channel is."""

    channel: Annotated[str, _one_of(*CHANNELS)]
    state: Annotated[str, _one_of(*DELIVERY_STATES)]
    """`skipped` when nobody is to be told; `reason` says why."""
    reason: Annotated[str | None, From(_text_or_none("reason"))]
    """Why it was skipped, failed or waits; null without one."""
    attempts: int
    """How often it was tried."""
    sent_at: DateTime | None
    """Null until it was told."""
    message_id: str
    """The same however often it is told: the mail's `Message-ID`, the event's message id."""


class Fire(Reply):
    """One fire and what proves it."""

    alert_id: str
    generation: int
    """Which arming of the alert fired, counted from 1; each can fire once."""
    type: AlertType
    symbol: str
    instrument: str
    price: Money
    """The target at that time, in the instrument's currency."""
    fired_at: DateTime
    """When it fired, in the tick's time."""
    committed_at: DateTime
    """When the fire was stored, by the server's clock."""
    latency_ms: Annotated[
        float,
        From("latency_milliseconds"),
        AfterValidator(lambda latency: rounded(latency, MAX_LATENCY_DECIMALS)),
    ]
    """Milliseconds from the tick's own time to `committed_at`; means nothing for replayed ticks."""
    crossed_during_gap: bool
    """Whether the tick came while nobody evaluated ticks, and was evaluated afterwards."""
    note: str | None
    """What the alert's note was."""
    tick: EvaluatedTick
    """The tick that fired it."""
    before: EvaluatedTick | None
    """The tick before it, on the other side of the price; null when there was none since the arming, or it is not
    known."""
    deliveries: list[Delivery]
    """How it was told: of the event, then of the mail."""


class FireList(Reply):
    """Fires, newest first."""

    fires: list[Fire]
    next_cursor: Annotated[str | None, From(_text_or_none("next_cursor"))]
    """What to send as `cursor` for those before them; null when there are none."""


class EvaluatedStretch(Reply):
    """A stretch of time, in the ticks' time, in which every tick was evaluated."""

    from_at: Annotated[DateTime, Field(serialization_alias="from")]
    to_at: Annotated[DateTime, Field(serialization_alias="to")]


class MissedStretch(EvaluatedStretch):
    """A stretch of time in which ticks may have been missed, and why."""

    reason: str
    """`stream_replaced`, `stream_trimmed`, `sequence_jump`, `batch_unreadable` or `not_armed`."""


class Explanation(Reply):
    """Why an alert has not fired: what was evaluated since it was armed, what was not, and how near it came."""

    alert: Alert
    state: Annotated[str, _one_of(*ALERT_STATES)]
    """`waiting` until ticks can be followed for it."""
    evaluated: list[EvaluatedStretch]
    """The stretches since it was armed in which every tick was compared with its price, oldest first."""
    not_evaluated: list[MissedStretch]
    """Those in which ticks may have been missed, oldest first."""
    closest: EvaluatedTick | None
    """The tick nearest to its price since it was armed; null when there was none or it is not known."""
    sentence: str
    """All of it, for people."""


# --- what clients send ----------------------------------------------------------------------------------------------


def _price(value: Any) -> Decimal:
    written = decimal_of(value)
    if not 0 < written <= MAX_PRICE:
        raise ValueError(f"must be above 0 and at most {MAX_PRICE:,}")
    price = to_eight_decimals(written)
    if price == 0:
        raise ValueError(f"must be at least {SMALLEST:f}")
    return price.normalize()


def _moment(value: Any) -> datetime:
    # The framework's own reading takes numbers and days for moments too.
    if isinstance(value, str) and _MOMENT.fullmatch(value.upper()) is not None:
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a moment with its offset from UTC, such as 2026-12-31T23:59:59+05:30")


TargetPrice = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema(
        {
            "type": "number",
            "minimum": float(SMALLEST),
            "maximum": MAX_PRICE,
            "description": DIGITS,
        }
    ),
]
Expiry = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": "Later than now and before the year 2200; a tick after it does not fire the alert.",
        }
    ),
]


class NewAlert(BaseModel):
    """An alert to set: buy fires at or below the price, sell at or above it; without `expires_at` it does not end."""

    model_config = ConfigDict(extra="forbid")

    type: AlertType
    symbol: SymbolText
    price: TargetPrice
    note: (
        Annotated[str, Field(min_length=1, max_length=MAX_NOTE_LENGTH, json_schema_extra={"pattern": NOTE_PATTERN})]
        | None
    ) = None
    expires_at: Expiry | None = None


class AlertChange(BaseModel):
    """Another price for an alert, which arms it again.

    A note that is left out is kept, null or an empty one removes it. An expiry that is left out is kept; to remove it,
    set the alert anew without one.
    """

    model_config = ConfigDict(extra="forbid")

    price: TargetPrice
    note: Annotated[str, Field(max_length=MAX_NOTE_LENGTH, json_schema_extra={"pattern": NOTE_PATTERN})] | None = None
    expires_at: Annotated[
        datetime | None,
        BeforeValidator(_moment),
        WithJsonSchema({"type": "string", "format": "date-time", "description": "Later than now; kept if left out."}),
    ] = None

    @property
    def told_note(self) -> str | None:
        """Return the note that is to stand, empty for none; None to keep the one there is."""
        return (self.note or "") if "note" in self.model_fields_set else None
