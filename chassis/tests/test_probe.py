import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chassis.health import Health
from chassis.probe import main
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.testing import free_port

SETTINGS = ProcessSettings(grpc_plaintext=True, shutdown_grace_seconds=0)


async def holds() -> bool:
    return True


async def fails() -> bool:
    return False


async def probe(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def test_a_process_whose_critical_checks_hold_serves() -> None:
    health = Health()
    health.add("database", holds)
    health.add("nats", fails, critical=False)
    address = f"127.0.0.1:{free_port()}"
    async with serving(address, [], health=health, settings=SETTINGS):
        assert await probe(address) == 0
        assert await probe(address, "--service", "database") == 0
        assert await probe(address, "--service", "nats") == 1
        assert await probe(address, "--service", "unheard of") == 1


async def test_a_process_with_a_failing_critical_check_does_not_serve() -> None:
    health = Health()
    health.add("database", fails)
    address = f"127.0.0.1:{free_port()}"
    async with serving(address, [], health=health, settings=SETTINGS):
        assert await probe(address) == 1


async def test_where_nobody_listens_nobody_serves() -> None:
    port = free_port()
    assert await probe(f"127.0.0.1:{port}") == 1
    assert await probe(f"http://127.0.0.1:{port}/readyz") == 1


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_over_http_only_success_means_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with web_server() as port:
        assert await probe(f"http://127.0.0.1:{port}/readyz") == 0
        assert await probe(f"http://127.0.0.1:{port}/other") == 1


def test_half_a_tls_setting_is_a_misconfiguration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_TLS_KEY", "key.pem")
    with pytest.raises(SystemExit, match="78"):
        main(["127.0.0.1:1"])
