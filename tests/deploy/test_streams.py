"""The job that gives the streams their copies: on one server, so with one copy, which is what differs."""

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nats
import pytest
from nats.js import JetStreamContext

from chassis.bus import EVENTS
from chassis.testing import NatsServer

SCRIPT = Path(__file__).parents[2] / "deploy" / "k8s" / "components" / "nats" / "streams.py"
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("streams_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def stream_manager(tmp_path: Path) -> AsyncIterator[JetStreamContext]:
    server = NatsServer(tmp_path)
    server.start()
    try:
        client = await nats.connect(server.url)
        yield client.jetstream(timeout=10)
        await client.close()
    finally:
        server.stop()


async def test_what_an_operator_has_set_of_a_stream_is_kept(
    script: ModuleType, stream_manager: JetStreamContext
) -> None:
    wanted = replace(EVENTS, num_replicas=1)
    assert (await script.make_once(stream_manager, wanted)).config.max_bytes == EVENTS.max_bytes
    await stream_manager.update_stream(replace(wanted, max_bytes=64 * MEBIBYTE))
    again = await script.make_once(stream_manager, wanted)
    assert again.config.max_bytes == 64 * MEBIBYTE
    assert (await stream_manager.stream_info("EVENTS")).config.max_bytes == 64 * MEBIBYTE


async def test_a_stream_without_its_copies_gets_them_and_nothing_else(script: ModuleType) -> None:
    class Servers:
        """Answers as three servers would, of which one made the stream alone."""

        def __init__(self) -> None:
            self.config = replace(EVENTS, num_replicas=1, max_bytes=64 * MEBIBYTE)

        async def add_stream(self, config: object) -> None:
            raise script.BadRequestError

        async def stream_info(self, name: str) -> object:
            assert name == "EVENTS"
            return SimpleNamespace(config=self.config)

        async def update_stream(self, config: object) -> object:
            self.config = config  # type: ignore[assignment]
            return await self.stream_info("EVENTS")

    servers = Servers()
    await script.make_once(servers, replace(EVENTS, num_replicas=3))
    assert (servers.config.num_replicas, servers.config.max_bytes) == (3, 64 * MEBIBYTE)
