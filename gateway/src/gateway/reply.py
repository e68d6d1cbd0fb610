"""The base of every answer: reads protobuf messages by a reader compiled once per message type from its descriptor.

A field of a `Reply` is read from the message's field of the same name, or from where a marker says:

    class Level(Reply):
        price: float
        change: Annotated[float | None, From("change_percent")]
        source: Annotated[str, From("provenance.source")]

Timestamps become RFC 3339 text in UTC, enum values their short name in lower case, and what is absent becomes None.
A path of names or a function in a marker is checked against the descriptor when the reader is compiled.

The docstring below a field describes it in the OpenAPI document, unless its type brings a description.

JSON names are the fields' own; those of a `CamelReply` are in camel case unless a field sets its `serialization_alias`.
What an answer says once for all its rows comes to each of them in a `Row`. A union of replies that bear their messages'
names is told apart by `Discriminator(name_of_message)`.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

Getter = Callable[[Any], Any]
M_co = TypeVar("M_co", bound=Message, covariant=True)
R = TypeVar("R", bound="Reply")

TIMESTAMP = "google.protobuf.Timestamp"
FLOATING_TYPES = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PRICE_DECIMALS = 6
MAX_CHANGE_DECIMALS = 6
MAX_PERCENT_DECIMALS = 2
MAX_BAR_PERCENT_DECIMALS = 5
ROWS_IN_TURN = 50


class FieldNotInMessage(TypeError):
    """A reply asks for a field that its message does not have."""

    def __init__(self, reply: str, message: str, path: str) -> None:
        super().__init__(f"{reply} reads {path}, which {message} does not have")


@dataclass(frozen=True, slots=True)
class From:
    """Says where a field is read: a dotted path of field names, or a function of the message."""

    source: str | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Shared:
    """Says that a field is not in the message: its answer says it once for all rows, and `Row` brings it."""


@dataclass(frozen=True, slots=True)
class Row(Generic[M_co]):
    """One of an answer's messages, with what the answer says once for all of them, by field."""

    message: M_co
    shared: Mapping[str, Any]


def rows_of(messages: Iterable[M_co], **shared: Any) -> list[Row[M_co]]:
    """Return messages as rows that share some fields."""
    return [Row(message, shared) for message in messages]


class Reply(BaseModel):
    """An answer's body; validates from a protobuf message, a row, a mapping or keyword arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _read_message(cls, value: Any) -> Any:
        if isinstance(value, Row):
            return {**fields_of(cls, value.message), **value.shared}
        return fields_of(cls, value) if isinstance(value, Message) else value


async def read_in_turns(reply: type[R], rows: Sequence[Any]) -> list[R]:
    """Read replies from many rows, and let other requests take their turn in between.

    Fifty years of bars read at once hold every other request up for a tenth of a second.
    """
    replies: list[R] = []
    for start in range(0, len(rows), ROWS_IN_TURN):
        replies += [reply.model_validate(row) for row in rows[start : start + ROWS_IN_TURN]]
        await asyncio.sleep(0)
    return replies


def camel_case(name: str) -> str:
    """Return a field's name as most JSON writes it: `price_avg50` becomes `priceAvg50`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class CamelReply(Reply):
    """An answer's body whose JSON names are in camel case."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=camel_case))


def example(**values: Any) -> ConfigDict:
    """Return the configuration of a model that shows an example in the OpenAPI document, by JSON names."""
    return ConfigDict(json_schema_extra={"examples": [values]})


def name_of_message(value: Any) -> str:
    """Return which branch of a union of replies a value is for: the one that bears its message's name."""
    return str(value.DESCRIPTOR.name) if isinstance(value, Message) else type(value).__name__


def fields_of(reply: type[Reply], message: Message) -> dict[str, Any]:
    """Read what a reply takes from a message, by field.

    Raises:
        FieldNotInMessage: the message is not one that the reply is for.
    """
    return {name: read(message) for name, read in reader_of(reply, message.DESCRIPTOR)}


@lru_cache(maxsize=1024)
def reader_of(reply: type[Reply], descriptor: Descriptor) -> Sequence[tuple[str, Getter]]:
    """Compile how each of a reply's fields is read from a message type.

    Raises:
        FieldNotInMessage: a field, or its marker, names what the message does not have.
    """
    readers = []
    for name, field in reply.model_fields.items():
        if any(isinstance(marker, Shared) for marker in field.metadata):
            continue
        markers = [marker for marker in field.metadata if isinstance(marker, From)]
        source = markers[0].source if markers else name
        getter = source if callable(source) else _getter_of(reply, descriptor, source)
        readers.append((name, getter))
    return tuple(readers)


def field_at(reply: type[Reply], descriptor: Descriptor, path: str) -> FieldDescriptor:
    """Return the field that a dotted path ends at.

    Raises:
        FieldNotInMessage: there is none.
    """
    current: Descriptor | None = descriptor
    field: FieldDescriptor | None = None
    for name in path.split("."):
        field = current.fields_by_name.get(name) if current is not None else None
        if field is None:
            raise FieldNotInMessage(reply.__name__, descriptor.full_name, path)
        current = field.message_type
    assert field is not None  # noqa: S101  # a path has at least one name
    return field


def _getter_of(reply: type[Reply], descriptor: Descriptor, path: str) -> Getter:
    field = field_at(reply, descriptor, path)
    *parents, name = path.split(".")
    read = _reader_of_field(field, name)
    for parent in reversed(parents):
        read = _through(parent, read)
    return read


def _through(parent: str, read: Getter) -> Getter:
    return lambda message: read(getattr(message, parent)) if message.HasField(parent) else None


def _reader_of_field(field: FieldDescriptor, name: str) -> Getter:
    convert = _converter_of(field)
    if field.is_repeated:
        if convert is None:
            return lambda message: list(getattr(message, name))
        return lambda message: [convert(element) for element in getattr(message, name)]
    if not field.has_presence:
        return (
            (lambda message: convert(getattr(message, name))) if convert else (lambda message: getattr(message, name))
        )
    if convert is None:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: convert(getattr(message, name)) if message.HasField(name) else None


def _converter_of(field: FieldDescriptor) -> Getter | None:
    if field.type in FLOATING_TYPES:
        return _finite
    if field.enum_type is not None:
        return short_names(field.enum_type).get
    if field.message_type is not None and field.message_type.full_name == TIMESTAMP:
        return lambda stamp: rfc3339(stamp.seconds, stamp.nanos // 1000)
    return None


@lru_cache(maxsize=256)
def short_names(enum: EnumDescriptor) -> dict[int, str]:
    """Return an enum's values by number, lower case and without prefix; the unspecified one is left out."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number != 0}


def rfc3339(seconds: int, microseconds: int = 0) -> str:
    """Return a point in time, given since 1970, as RFC 3339 text in UTC."""
    moment = EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
    return moment.isoformat().replace("+00:00", "Z")


def itself(message: Any) -> Any:
    """Return the message, for a marker: a nested reply is read from the same message as the one around it."""
    return message


def always(value: Any) -> From:
    """Return the marker of a field whose value does not depend on the message."""
    return From(lambda _: value)


def rounded(value: float, decimals: int) -> float:
    """Round for show: no binary artefacts, no negative zero."""
    return round(value, decimals) + 0.0


def _finite(value: float) -> float | None:
    # JSON has no NaN and no Infinity: a service that lets one slip through has told no value.
    return value if math.isfinite(value) else None


def _whole_or_not(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _plain_number(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _rounded_to(decimals: int) -> AfterValidator:
    return AfterValidator(lambda value: rounded(value, decimals))


Freshness = Literal["live", "delayed", "stale", "closed", "simulated"]
DateTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Price = Annotated[float, _rounded_to(MAX_PRICE_DECIMALS)]
Change = Annotated[float, _rounded_to(MAX_CHANGE_DECIMALS)]
Percent = Annotated[float, _rounded_to(MAX_PERCENT_DECIMALS)]
BarPercent = Annotated[float, _rounded_to(MAX_BAR_PERCENT_DECIMALS)]
Amount = Annotated[float, PlainSerializer(_plain_number, return_type=int | float), WithJsonSchema({"type": "number"})]
Money = Annotated[Decimal, PlainSerializer(float, return_type=float), WithJsonSchema({"type": "number"})]
Quantity = Annotated[
    Decimal, PlainSerializer(_whole_or_not, return_type=int | float), WithJsonSchema({"type": "number"})
]
Date = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
