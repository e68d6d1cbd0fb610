"""The code of an earlier release, beside today's, run by the same interpreter with the same libraries."""

import io
import os
import subprocess
import sys
import tarfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMBERS = (
    "chassis",
    "mail",
    "gateway",
    "suite",
    *(f"services/{name}" for name in ("auth", "market", "portfolio", "brokers", "alerts")),
)
COMMAND_SECONDS = 120


def previous_revision() -> str | None:
    """Return PREVIOUS, or the last release, or, before the first, the commit before; None where there is no history."""
    if chosen := os.environ.get("PREVIOUS"):
        return chosen
    for question in (("describe", "--tags", "--abbrev=0"), ("rev-parse", "--verify", "HEAD~1")):
        answer = subprocess.run(["git", *question], cwd=ROOT, check=False, capture_output=True, timeout=COMMAND_SECONDS)
        if answer.returncode == 0:
            return answer.stdout.decode().strip()
    return None


def unpack(revision: str, folder: Path) -> str:
    """Write a revision's code and its compiled contracts under `folder`; return the PYTHONPATH that finds them."""
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, check=True, capture_output=True, timeout=COMMAND_SECONDS
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as content:
        content.extractall(folder, filter="data")
    compiled, contracts = folder / "compiled", folder / "protos"
    compiled.mkdir()
    names = sorted(path.relative_to(contracts).as_posix() for path in (contracts / "bourse").rglob("*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={contracts}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={compiled}",
            f"--grpc_python_out={compiled}",
            *names,
        ],
        check=True,
        cwd=contracts,
        timeout=COMMAND_SECONDS,
    )
    for package in (compiled / "bourse", *(path for path in (compiled / "bourse").rglob("*") if path.is_dir())):
        (package / "__init__.py").touch()
    return os.pathsep.join(map(str, (compiled, *(folder / member / "src" for member in MEMBERS))))


def folder_of(module: str, python_path: str) -> Path:
    """Return where a process with that PYTHONPATH finds a module."""
    found = subprocess.run(
        [sys.executable, "-c", f"import {module} as found; print(found.__file__)"],
        env={**os.environ, "PYTHONPATH": python_path},
        check=True,
        capture_output=True,
        timeout=COMMAND_SECONDS,
    )
    return Path(found.stdout.decode().strip())
