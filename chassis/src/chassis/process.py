"""How every process boots and ends: command line, settings, logs, signals, exit code."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from chassis.errors import ServiceError
from chassis.logs import configure_logging
from chassis.metrics import reading
from chassis.process_control import forbid_core_dumps
from chassis.settings import ProcessSettings
from chassis.tracing import exporting

log = logging.getLogger(__name__)

SettingsT = TypeVar("SettingsT", bound=ProcessSettings)

EXIT_MISCONFIGURED = 78  # EX_CONFIG of sysexits.h


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Read settings from the environment, or end the process naming each variable that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            variable = "_".join(str(part) for part in problem["loc"]).upper() or "settings"
            print(f"{variable}: {problem['msg']}", file=sys.stderr)  # noqa: T201  # no logging before settings
        raise SystemExit(EXIT_MISCONFIGURED) from None


def run_command_line(
    name: str,
    kind: type[SettingsT],
    *,
    build: Callable[[SettingsT], AbstractAsyncContextManager[object]],
    migrate: Callable[[SettingsT], Coroutine[None, None, None]],
) -> None:
    """Be `python -m <name> [serve|migrate]`: serve until a signal, which is the default, or migrate and end."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument("command", nargs="?", choices=("serve", "migrate"), default="serve")
    command = parser.parse_args().command
    settings = load_settings(kind)
    if command == "serve":
        run_service(name, settings, lambda: build(settings))
        return
    configure_logging(name, style=settings.log_format, level=settings.log_level)
    try:
        asyncio.run(migrate(settings))
    except ServiceError as error:
        raise SystemExit(f"{name} migrate: {error}") from None


def run_service(name: str, settings: ProcessSettings, build: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    """Run what `build` opens until SIGTERM or SIGINT, then close it in reverse order.

    The process ends with 0 after a signal and with 1, the reason logged, when it could not start or broke.
    """
    configure_logging(name, style=settings.log_format, level=settings.log_level)
    # Passwords, keys and brokers' credentials pass through every one of them.
    forbid_core_dumps()
    try:
        with exporting(name, settings):
            uvloop.run(_until_stopped(name, build))
    except Exception:
        log.exception("service failed", extra={"service_name": name})
        raise SystemExit(1) from None


async def _until_stopped(name: str, build: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    with _introduced(name):
        async with build():
            # What start-up made lives as long as the process: keep the collector from walking it again and again.
            gc.collect()
            gc.freeze()
            log.info("service started", extra={"service_name": name})
            await stopped.wait()
            log.info("service stopping", extra={"service_name": name})
    log.info("service stopped", extra={"service_name": name})


def _introduced(name: str) -> AbstractContextManager[None]:
    release: dict[tuple[str, ...], float] = {(name, _version_of(f"bourse-{name}")): 1.0}
    documentation = "Which process this is, and of which release; always 1."
    return reading("bourse_build_info", documentation, lambda: release, labels=["process", "version"])


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
