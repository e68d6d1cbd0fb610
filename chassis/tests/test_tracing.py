import asyncio
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc
from chassis.bus import EVENTS, Bus
from chassis.event_reader import EventReader
from chassis.health import Health
from chassis.logs import request_id
from chassis.rpc_client import open_channel
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.tasks import running
from chassis.testing import NatsServer, free_port
from chassis.tracing import exporting, parent_here, span, tracing_to


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    with tracing_to("test", SimpleSpanProcessor(exporter)):
        yield exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {each.name: each for each in exporter.get_finished_spans()}


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert parent.context is not None
    return child.parent is not None and child.parent.span_id == parent.context.span_id


def test_nothing_is_recorded_unless_it_goes_somewhere() -> None:
    with exporting("test", ProcessSettings()), span("asked", SpanKind.SERVER) as recorded:
        assert recorded is None
        assert parent_here() is None


def test_a_span_is_part_of_the_one_it_is_in_or_was_told_of(spans: InMemorySpanExporter) -> None:
    with span("first", SpanKind.SERVER, parent=None):
        told = parent_here()
        with span("inner", SpanKind.CLIENT, attributes={"count": 3}):
            pass
    with span("elsewhere", SpanKind.CONSUMER, parent=told):
        pass
    with span("unrelated", SpanKind.SERVER, parent="no traceparent"):
        pass
    found = by_name(spans)
    assert is_child(found["inner"], found["first"])
    assert is_child(found["elsewhere"], found["first"])
    assert found["first"].parent is found["unrelated"].parent is None
    assert (found["inner"].attributes or {})["count"] == 3


def test_a_failure_is_told_without_its_words(spans: InMemorySpanExporter) -> None:
    token = request_id.set("abc-1")
    try:
        with pytest.raises(ValueError, match="word"), span("failing", SpanKind.INTERNAL):
            raise ValueError("the password is word")
    finally:
        request_id.reset(token)
    [failed] = spans.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes == {"request.id": "abc-1"}
    assert "word" not in failed.to_json()


class Accounts(accounts_pb2_grpc.AccountServiceServicer):
    async def GetUser(self, request: accounts_pb2.GetUserRequest, context: object) -> accounts_pb2.GetUserResponse:
        with span("work", SpanKind.INTERNAL):
            return accounts_pb2.GetUserResponse()


async def test_a_call_goes_on_in_the_trace_of_its_caller(spans: InMemorySpanExporter) -> None:
    address, settings = f"127.0.0.1:{free_port()}", ProcessSettings()

    def register(server: grpc.aio.Server) -> None:
        accounts_pb2_grpc.add_AccountServiceServicer_to_server(Accounts(), server)  # type: ignore[abstract]  # what it isn't asked it doesn't answer

    async with (
        serving(address, [register], health=Health(), settings=settings),
        open_channel(address, [accounts_pb2.DESCRIPTOR], settings=settings) as channel,
    ):
        with span("request", SpanKind.SERVER, parent=None):
            await accounts_pb2_grpc.AccountServiceStub(channel).GetUser(accounts_pb2.GetUserRequest())
    path = "/bourse.auth.v1.AccountService/GetUser"
    client, server = (
        next(each for each in spans.get_finished_spans() if each.name == path and each.kind is kind)
        for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    found = by_name(spans)
    assert is_child(client, found["request"])
    assert is_child(server, client)
    assert is_child(found["work"], server)


async def test_an_event_goes_on_in_the_trace_it_comes_from(spans: InMemorySpanExporter, nats: NatsServer) -> None:
    taken = asyncio.Event()

    async def take(message: object) -> None:
        with span("taken", SpanKind.INTERNAL):
            taken.set()

    settings = ProcessSettings.model_validate({"nats_url": nats.url})
    async with Bus.open(settings, name="test", streams=[EVENTS]) as bus:
        await asyncio.wait_for(bus.wait_until_ready(), 5)
        with span("fire", SpanKind.INTERNAL, parent=None):
            parent = parent_here()
        async with running(EventReader(bus, "events.test.fired", "test_reader", take).run()):
            await bus.publish_event("events.test.fired", b"x", message_id="1", trace_parent=parent)
            await asyncio.wait_for(taken.wait(), 10)
    found = by_name(spans)
    assert is_child(found["events.test.fired publish"], found["fire"])
    assert is_child(found["test_reader process"], found["events.test.fired publish"])
    assert is_child(found["taken"], found["test_reader process"])
