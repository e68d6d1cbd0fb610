"""The contract between routes and services: every reply against the message that its route returns."""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from fastapi.routing import APIRoute
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from bourse.auth.v1 import sessions_pb2
from bourse.market.v1 import exchanges_pb2, history_pb2, indices_pb2, news_pb2, treasury_pb2
from gateway.app import api_routes
from gateway.models import auth, exchanges, indices, news, stocks, treasury
from gateway.reply import TIMESTAMP, From, Reply, Row, Shared, field_at, itself, reader_of, short_names

WHOLE = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32)
FLOATING = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


def leaves(annotation: Any) -> list[Any]:
    """Return what an annotation holds in the end: the elements of sequences, values of mappings, branches of unions."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    kind = get_origin(annotation)
    if kind in (types.UnionType, Union):
        return [leaf for branch in get_args(annotation) for leaf in leaves(branch)]
    if kind in (Sequence, list, Row, Mapping, dict):
        return leaves(get_args(annotation)[-1])
    return [annotation]


def messages_of(route: APIRoute) -> list[type[Message]]:
    """Return the messages a route may return, alone or in a sequence; none for a route without a service."""
    found = leaves(route.endpoint.__annotations__.get("return"))
    return [each for each in found if isinstance(each, type) and issubclass(each, Message)]


def pairs_of(route: APIRoute) -> list[tuple[type[Reply], type[Message]]]:
    """Return which reply is read from which message; of several messages each has the reply of its own name."""
    messages, replies = messages_of(route), leaves(route.response_model)
    if len(messages) == 1:
        return [(reply, messages[0]) for reply in replies]
    by_name = {reply.__name__: reply for reply in replies}
    assert set(by_name) == {message.__name__ for message in messages}
    return [(by_name[message.__name__], message) for message in messages]


ROUTES = [route for route in api_routes() if messages_of(route)]
# What may have many rows, or is a table, its route reads itself.
READ_BY_ROUTES = [
    (indices.Constituent, indices_pb2.Constituent),
    (indices.ConstituentDetails, indices_pb2.Constituent),
    (indices.ConstituentPrice, indices_pb2.ConstituentPrice),
    (stocks.DailyBar, history_pb2.DailyBar),
    (stocks.LightBar, history_pb2.DailyBar),
    (stocks.IntradayBar, history_pb2.IntradayBar),
    (exchanges.StockListing, exchanges_pb2.StockListing),
    (news.Article, news_pb2.Article),
    (treasury.TreasuryRates, treasury_pb2.TreasuryRates),
    (auth.OpenSession, sessions_pb2.OpenSession),
]


def without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (types.UnionType, Union):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return (kinds[0] if len(kinds) == 1 else annotation), len(kinds) < len(get_args(annotation))
    return annotation, False


def plain(annotation: Any) -> Any:
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    return annotation


def may_be_absent(reply: type[Reply], descriptor: Descriptor, path: str) -> bool:
    current, absent = descriptor, False
    for name in path.split("."):
        field = field_at(reply, current, name)
        absent = absent or (field.has_presence and not field.is_repeated and is_optional(field))
        if field.message_type is not None:
            current = field.message_type
    return absent


def is_optional(field: FieldDescriptor) -> bool:
    # A message field is always settable or not; only one written `optional` is meant to be absent.
    return field.containing_oneof is not None


def problems_of(reply: type[Reply], descriptor: Descriptor) -> list[str]:
    found = []
    reader_of(reply, descriptor)
    for name, info in reply.model_fields.items():
        if any(isinstance(marker, Shared) for marker in info.metadata):
            continue
        markers = [marker for marker in info.metadata if isinstance(marker, From)]
        path = markers[0].source if markers else name
        if path is itself:
            found += problems_of(plain(info.annotation), descriptor)
        if not isinstance(path, str):
            continue
        field = field_at(reply, descriptor, path)
        kind, is_nullable = without_none(info.annotation)
        where = f"{reply.__name__}.{name}"
        if may_be_absent(reply, descriptor, path) and not is_nullable:
            found.append(f"{where} must be nullable: {path} may be absent")
        found += kind_problems(where, plain(kind), field)
    return found


def kind_problems(where: str, kind: Any, field: FieldDescriptor) -> list[str]:
    if field.is_repeated:
        if get_origin(kind) is not list:
            return [f"{where} must be a list"]
        (kind,) = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Reply):
        return problems_of(kind, field.message_type) if field.message_type else [f"{where} reads a scalar as a message"]
    if field.enum_type is not None:
        names = set(short_names(field.enum_type).values())
        is_exact = get_origin(kind) is Literal and set(get_args(kind)) == names
        return [] if is_exact else [f"{where} must be one of {names}"]
    expected = expected_kinds(field)
    return [] if kind in expected else [f"{where} is {kind}, not one of {expected}"]


def expected_kinds(field: FieldDescriptor) -> tuple[Any, ...]:
    from decimal import Decimal  # noqa: PLC0415

    if field.message_type is not None:
        return (str,) if field.message_type.full_name == TIMESTAMP else ()
    if field.type in FLOATING:
        return (float,)
    if field.type in WHOLE:
        return (int,)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return (bool,)
    return (str, Decimal)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_each_reply_fits_the_message_of_its_route(route: APIRoute) -> None:
    for reply, message in pairs_of(route):
        assert isinstance(reply, type)
        assert issubclass(reply, Reply)
        descriptor: Any = message.DESCRIPTOR
        assert problems_of(reply, descriptor) == []


@pytest.mark.parametrize(("reply", "message"), READ_BY_ROUTES, ids=lambda kind: kind.__name__)
def test_each_row_of_a_table_fits_its_message(reply: type[Reply], message: type[Message]) -> None:
    descriptor: Any = message.DESCRIPTOR
    assert problems_of(reply, descriptor) == []


def test_every_route_with_a_service_is_walked() -> None:
    assert len(ROUTES) >= 39


def test_a_reply_that_hides_absence_is_found() -> None:
    from bourse.market.v1 import quotes_pb2  # noqa: PLC0415

    class Hiding(Reply):
        previous_close: float

    assert problems_of(Hiding, quotes_pb2.Quote.DESCRIPTOR) == [
        "Hiding.previous_close must be nullable: previous_close may be absent"
    ]


def test_every_route_has_a_description_and_a_named_answer() -> None:
    for route in api_routes():
        assert route.endpoint.__doc__, route.path
