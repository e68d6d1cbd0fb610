import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from chassis.testing import python_module

SERVICE = """
import asyncio
import resource
from contextlib import asynccontextmanager
from chassis.errors import DatabaseUnavailable
from chassis.process import run_command_line
from chassis.settings import ProcessSettings

class Settings(ProcessSettings):
    demo_token: str
    demo_count: int = 1

@asynccontextmanager
async def build(settings):
    print("opened", resource.getrlimit(resource.RLIMIT_CORE), flush=True)
    if settings.demo_count == 0:
        raise RuntimeError("no parts, password=HIDDEN")
    yield
    print("closed", flush=True)

async def migrate(settings):
    if settings.demo_count == 0:
        raise DatabaseUnavailable
    print("migrated", settings.demo_count)

run_command_line("demo", Settings, build=build, migrate=migrate)
"""


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    (folder / "demo.py").write_text(SERVICE)
    return subprocess.Popen(
        [*python_module("demo"), *arguments],
        env={**os.environ, **environment},
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_what_was_opened_and_ends_with_0(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, DEMO_TOKEN="x")
    assert process.stdout is not None
    assert process.stdout.readline() == "opened (0, 0)\n"
    time.sleep(0.2)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert output == "closed\n"
    assert process.returncode == 0


def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    process = start(tmp_path, DEMO_COUNT="HIDDEN")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 78
    assert "DEMO_COUNT: " in errors
    assert "DEMO_TOKEN: Field required" in errors
    assert "HIDDEN" not in errors


def test_a_service_that_cannot_start_says_why_and_ends_with_1(tmp_path: Path) -> None:
    process = start(tmp_path, DEMO_TOKEN="x", DEMO_COUNT="0")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "service failed" in errors
    assert "no parts" in errors
    assert "HIDDEN" not in errors


def test_migrating_ends_with_0_when_done_and_with_the_reason_when_not(tmp_path: Path) -> None:
    output, _ = start(tmp_path, "migrate", DEMO_TOKEN="x", DEMO_COUNT="3").communicate(timeout=20)
    assert output == "migrated 3\n"
    refused = start(tmp_path, "migrate", DEMO_TOKEN="x", DEMO_COUNT="0")
    _, errors = refused.communicate(timeout=20)
    assert refused.returncode == 1
    assert errors == "demo migrate: the database is not answering; try again shortly\n"
