"""RUN_DIR: held by one suite at a time, with the embedded NATS server's configuration and the list of processes."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from suite.plan import NATS, Plan

NATS_CONFIG = """\
# Written by the suite at every start.
listen: "{address}"
server_name: "bourse-embedded"
jetstream {{
  store_dir: "{store}"
  # One server alone: an event is on the disk before it is acknowledged.
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: 1GB
}}
"""


class RunDirTaken(RuntimeError):
    """Another suite runs on this directory."""

    def __init__(self, run_dir: Path, holder: str) -> None:
        super().__init__(f"another suite ({holder}) runs on {run_dir}: stop it, or set RUN_DIR to another folder")


class RunDirUnusable(RuntimeError):
    """RUN_DIR cannot be made or written to."""

    def __init__(self, run_dir: Path, reason: str | None) -> None:
        super().__init__(f"cannot use {run_dir} as RUN_DIR: {reason}; set RUN_DIR to a folder that can be written to")


@contextmanager
def held(run_dir: Path) -> Iterator[None]:
    """Make the folder if need be and keep other suites off it; the lock goes with the process, however it ends.

    Raises:
        RunDirTaken: another process holds it.
        RunDirUnusable: it cannot be made or written to.
    """
    with _opened_lock(run_dir) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunDirTaken(run_dir, lock.read().strip() or "just starting") from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}\n")
        lock.flush()
        yield


def _opened_lock(run_dir: Path) -> TextIO:
    try:
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (run_dir / "suite.lock").open("a+")
    except OSError as error:
        raise RunDirUnusable(run_dir, error.strerror) from error


def write_nats_config(plan: Plan) -> None:
    """Write the configuration that the Procfile's NATS line names."""
    address = next((process.address for process in plan.processes if process.name == NATS), None)
    if address is None:
        return
    write_atomically(plan.nats_config, NATS_CONFIG.format(address=address, store=plan.run_dir / "nats"))


def write_manifest(plan: Plan, pids: Mapping[str, int]) -> None:
    """Write `run.json`: every process with its pid and addresses, and where NATS and the gateway answer."""
    manifest = {
        "pid": os.getpid(),
        "gateway_url": plan.gateway_url,
        "nats_url": plan.public_nats_url,
        "processes": [
            {
                "name": process.name,
                "pid": pids[process.name],
                "address": process.address,
                "metrics_address": process.metrics_address,
            }
            for process in plan.processes
        ],
    }
    write_atomically(manifest_path(plan), json.dumps(manifest, indent=2) + "\n")


def remove_manifest(plan: Plan) -> None:
    """Remove `run.json`: nothing that it names runs."""
    manifest_path(plan).unlink(missing_ok=True)


def manifest_path(plan: Plan) -> Path:
    """Return where `run.json` lies."""
    return plan.run_dir / "run.json"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content so that readers see the old or the new, never a part."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
