"""The base of every answer: reads protobuf messages by a reader compiled once per message type from its descriptor.

A field of a `Reply` is read from the message's field of the same name, or from where a marker says:

    class Level(Reply):
        price: float
        change: Annotated[float | None, From("change_percent")]
        source: Annotated[str, From("provenance.source")]

Timestamps become RFC 3339 text in UTC, enum values their short name in lower case, and what is absent becomes None.
A path of names or a function in a marker is checked against the descriptor when the reader is compiled.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema, model_validator

Getter = Callable[[Any], Any]

TIMESTAMP = "google.protobuf.Timestamp"
FLOATING_TYPES = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_CHANGE_DECIMALS = 6
MAX_PERCENT_DECIMALS = 2


class FieldNotInMessage(TypeError):
    """A reply asks for a field that its message does not have."""

    def __init__(self, reply: str, message: str, path: str) -> None:
        super().__init__(f"{reply} reads {path}, which {message} does not have")


@dataclass(frozen=True, slots=True)
class From:
    """Says where a field is read: a dotted path of field names, or a function of the message."""

    source: str | Callable[[Any], Any]


class Reply(BaseModel):
    """An answer's body; validates from a protobuf message, a mapping or keyword arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_message(cls, value: Any) -> Any:
        if not isinstance(value, Message):
            return value
        return {name: read(value) for name, read in reader_of(cls, value.DESCRIPTOR)}


@lru_cache(maxsize=1024)
def reader_of(reply: type[Reply], descriptor: Descriptor) -> Sequence[tuple[str, Getter]]:
    """Compile how each of a reply's fields is read from a message type.

    Raises:
        FieldNotInMessage: a field, or its marker, names what the message does not have.
    """
    readers = []
    for name, field in reply.model_fields.items():
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


def _rounded_to(decimals: int) -> AfterValidator:
    return AfterValidator(lambda value: rounded(value, decimals))


Freshness = Literal["live", "delayed", "stale", "closed", "simulated"]
DateTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Change = Annotated[float, _rounded_to(MAX_CHANGE_DECIMALS)]
Percent = Annotated[float, _rounded_to(MAX_PERCENT_DECIMALS)]
Money = Annotated[Decimal, PlainSerializer(float, return_type=float), WithJsonSchema({"type": "number"})]
Quantity = Annotated[
    Decimal, PlainSerializer(_whole_or_not, return_type=int | float), WithJsonSchema({"type": "number"})
]
Date = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
