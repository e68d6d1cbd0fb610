"""The gateway as a process: start, signals, exit codes, and the command that prints the API's description."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx

from chassis.testing import free_port
from gateway.app import create_api

COMMAND = [sys.executable, "-m", "gateway"]


def environment(world: Any, port: int) -> dict[str, str]:
    addresses = {f"{name.upper()}_ADDRESS": address for name, address in world.addresses.items()}
    return {**os.environ, **addresses, "NATS_URL": world.nats.url, "GATEWAY_PORT": str(port)}


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_sigterm_ends_the_process_within_seconds_with_a_stream_open(world: Any) -> None:
    port = free_port()
    process = subprocess.Popen(COMMAND, env=environment(world, port), stderr=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await until_ready(client)
            async with client.stream("GET", "/api/stream?symbols=NSE:TCS") as response:
                chunks = response.aiter_text()
                assert "event: snapshot" in await anext(chunks)
                started = time.monotonic()
                process.send_signal(signal.SIGTERM)
                rest = "".join([chunk async for chunk in chunks])
        status = await asyncio.to_thread(process.wait, 5)
        elapsed = time.monotonic() - started
    finally:
        process.kill()
        _, log = process.communicate()

    assert '"reason": "shutdown"' in rest
    assert status == 0, log
    assert elapsed < 3
    assert "Traceback" not in log
    assert "service stopped" in log


async def test_a_taken_port_is_named_and_ends_the_process(running: Any) -> None:
    port = running.gateway.port

    finished = await asyncio.to_thread(
        subprocess.run, COMMAND, env=environment(running, port), capture_output=True, text=True, timeout=20, check=False
    )

    assert finished.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in finished.stderr


async def test_a_wrong_setting_is_named_without_its_value() -> None:
    finished = await asyncio.to_thread(
        subprocess.run,
        COMMAND,
        env={**os.environ, "GATEWAY_LIMIT_READ": "often"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert finished.returncode == 78
    assert "GATEWAY_LIMIT_READ" in finished.stderr
    assert "Traceback" not in finished.stderr


async def test_the_api_is_described_without_any_service() -> None:
    finished = await asyncio.to_thread(
        subprocess.run, [*COMMAND, "openapi"], capture_output=True, text=True, timeout=20, check=True
    )

    assert finished.stdout == create_api().state.openapi_text
