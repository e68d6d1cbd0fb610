"""The processes a bench is made of: each on one core where the system can pin, each ended with the bench."""

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LOAD_CORE = 0
MEASURED_CORE = 1
END_SECONDS = 5.0

# What a part of the bench does: it is given its end of a pipe, and then its own arguments.
Role = Callable[..., None]


def pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has ended, or this core is not ours to use
                os.sched_setaffinity(int(task.name), {core})


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process on one core, where the system can pin, and let it go again."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(os.getpid(), core)
    try:
        yield
    finally:
        if allowed is not None:
            os.sched_setaffinity(0, allowed)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a running process has used, all its threads together."""
    statistics = Path(f"/proc/{pid}/stat")
    if statistics.exists():
        user, system = statistics.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True, timeout=5)
    minutes, _, seconds = shown.stdout.strip().rpartition(":")
    return int(minutes or 0) * 60 + float(seconds)


def surroundings() -> str:
    """Say how busy the machine was: what shares the cores stretches every p99."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


@contextmanager
def part(role: Role, *arguments: Any, core: int) -> Iterator[Connection]:
    """Run a role in a process of its own and yield this end of its pipe; the process ends with the block."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_play, args=(role, there, core, arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.terminate()
        process.join(END_SECONDS)
        process.kill()
        process.join()


def receive(pipe: Connection, *, within: float) -> Any:
    """Return what a part says next.

    Raises:
        SystemExit: it says nothing for so many seconds, or it is gone.
    """
    try:
        if pipe.poll(within):
            return pipe.recv()
    except EOFError:
        raise SystemExit("a part of the bench has ended early") from None
    raise SystemExit(f"a part of the bench was silent for {within:.0f} s")


def _play(role: Role, pipe: Connection, core: int, arguments: tuple[Any, ...]) -> None:
    pin(os.getpid(), core)
    role(pipe, *arguments)
