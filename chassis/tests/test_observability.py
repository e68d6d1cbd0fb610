import asyncio
import http.client

import pytest

from chassis.metrics import value_of
from chassis.observability import observable
from chassis.settings import AddressInUse, ProcessSettings
from chassis.testing import free_port


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read().decode()
    finally:
        connection.close()


async def asked(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    return await asyncio.to_thread(ask, port, path, method)


async def test_operators_are_answered_while_it_is_open() -> None:
    port, failing = free_port(), list[str]()
    settings = ProcessSettings(metrics_address=f"127.0.0.1:{port}")
    async with observable(settings, lambda: failing):
        assert await asked(port, "/livez") == (200, "text/plain; charset=utf-8", "ok\n")
        assert await asked(port, "/readyz") == (200, "text/plain; charset=utf-8", "ok\n")
        assert value_of("bourse_ready") == 1.0

        failing[:] = ["database", "feed"]
        assert await asked(port, "/readyz") == (503, "text/plain; charset=utf-8", "not ready: database, feed\n")
        assert (await asked(port, "/livez"))[0] == 200
        assert value_of("bourse_ready") == 0.0

        status, kind, page = await asked(port, "/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "# TYPE bourse_event_loop_lag_seconds histogram" in page
        assert (await asked(port, "/metrics", "HEAD"))[2] == ""
    assert value_of("bourse_ready") is None
    with pytest.raises(ConnectionRefusedError):
        await asked(port, "/livez")


async def test_what_is_not_here_is_refused() -> None:
    port = free_port()
    async with observable(ProcessSettings(metrics_address=f"127.0.0.1:{port}"), list):
        assert (await asked(port, "/"))[0] == 404
        assert (await asked(port, "/metrics/"))[0] == 404
        assert (await asked(port, "/metrics", "POST"))[0] == 405


async def test_a_port_that_is_taken_is_named() -> None:
    port = free_port()
    settings = ProcessSettings(metrics_address=f"127.0.0.1:{port}")
    async with observable(settings, list):
        with pytest.raises(AddressInUse, match=f"127.0.0.1:{port}"):
            async with observable(settings, list):
                pass


async def test_without_an_address_it_only_counts() -> None:
    async with observable(ProcessSettings(), list):
        assert value_of("bourse_ready") == 1.0


async def test_the_loop_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.observability.LOOK_SECONDS", 0.01)
    before = value_of("bourse_event_loop_lag_seconds_count") or 0.0
    async with observable(ProcessSettings(), list):
        async with asyncio.timeout(5):
            while (value_of("bourse_event_loop_lag_seconds_count") or 0.0) < before + 2:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("address", ["9100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:port"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValueError, match="metrics_address"):
        ProcessSettings(metrics_address=address)
