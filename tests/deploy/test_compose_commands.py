import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.testing import free_port
from harness.compose_faults import CONTAINERS, Row, refusals_in, table_of
from harness.compose_relay import listen_in_container, relayed, socket_of
from harness.handbook import STEPS, Step, block_of
from harness.prober import Outcome

ROOT = Path(__file__).parents[2]
NO_ENGINE = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nobody-listens-here.sock"}


@pytest.mark.parametrize("name", ["smoke", "contract", "faults", "restore"])
def test_without_an_engine_a_command_says_that_it_is_skipped(name: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / f"compose_{name}.py")]
    ended = subprocess.run(command, env=NO_ENGINE, check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.startswith(f"compose {name}: SKIPPED, ")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.word)
def test_the_handbook_has_each_step_that_is_rehearsed(step: Step) -> None:
    assert step.word in block_of(step)


async def test_a_relay_takes_a_container_to_a_server_of_this_machine(tmp_path: Path) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_server(shout, "127.0.0.1", port := free_port()):
        # On one machine both sides of the relay cannot have the same port.
        container_port = free_port()
        socket_of(tmp_path, container_port).symlink_to(socket_of(tmp_path, port))
        with relayed(tmp_path, [port]):
            listening = asyncio.create_task(listen_in_container(tmp_path, [container_port]))
            try:
                assert await asyncio.wait_for(_ask(container_port, b"aloud\n"), 10) == b"ALOUD\n"
            finally:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening


async def _ask(port: int, words: bytes) -> bytes:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
            continue
        writer.write(words)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def test_a_row_names_what_was_not_answered_well() -> None:
    outcomes = [
        Outcome("login", 1, 0.0, 0.1, 503),
        Outcome("login", 2, 1.0, 0.1, 200),
        Outcome("me", 1, 0.0, 0.1, None, "ConnectError"),
        Outcome("login", 3, 2.0, 0.1, None, "ConnectError"),
    ]
    assert refusals_in(outcomes) == "503: login 1; ConnectError: everything 2"
    assert refusals_in(outcomes[1:2]) == "none"
    row = Row("auth", "paused", refusals_in(outcomes), len(outcomes), "0.1 (login)", "0.0 / 1.0")
    assert table_of([row]).splitlines()[-1].startswith("| auth | paused | 503: login 1;")


def test_everything_that_runs_for_long_is_disturbed() -> None:
    composed = (ROOT / "docker-compose.yml").read_text()
    assert all(f"\n  {name}:\n" in composed for name in CONTAINERS)
