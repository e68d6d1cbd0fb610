"""`make compose-faults`: each composed container crashes, is killed, paused and cut off while everything is asked.

Brings docker-compose.yml up under a name of its own, prints what clients saw, and takes it down. Without a Docker
engine it says that it is skipped.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness.backends import UNLIMITED  # noqa: E402
from harness.compose import DockerFailed, composed, free_port, missing_tool  # noqa: E402
from harness.compose_faults import CONTAINERS, DISTURBANCES, Disturber, Row, table_of  # noqa: E402

PROJECT = "bourse-faults"


def arguments() -> argparse.Namespace:
    """Read which containers and faults are wanted; all of both unless told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", nargs="+", choices=CONTAINERS, default=CONTAINERS)
    parser.add_argument("--faults", nargs="+", choices=list(DISTURBANCES), default=list(DISTURBANCES))
    return parser.parse_args()


async def disturb_all(disturber: Disturber, containers: Sequence[str], faults: Sequence[str]) -> None:
    """Disturb one container after the other, each in every way."""
    for container in containers:
        for fault in faults:
            report(await disturber.disturb(container, DISTURBANCES[fault]))


def report(row: Row) -> None:
    """Print what a disturbance came to."""
    print(
        f"{row.container} {row.fault}: well after {row.well_after} s, slowest {row.slowest} s; {row.refusals}",
        flush=True,
    )
    if row.logged:
        print(f"  tracebacks: {row.logged}", flush=True)
    for complaint in row.complaints:
        print(f"  WRONG {complaint}", flush=True)


def main() -> int:
    """Return 0 when nothing went wrong that must not, or nothing could be tried; else 1."""
    wanted = arguments()
    if (problem := missing_tool()) is not None:
        print(f"compose faults: SKIPPED, {problem}")
        return 0
    port = free_port()
    began_at = time.monotonic()
    try:
        with composed(PROJECT, {**UNLIMITED, "GATEWAY_PORT": str(port)}) as project:
            print(f"compose faults: up and healthy after {time.monotonic() - began_at:.0f} s", flush=True)
            disturber = Disturber(project, f"http://127.0.0.1:{port}")
            asyncio.run(disturb_all(disturber, wanted.containers, wanted.faults))
    except (AssertionError, DockerFailed, subprocess.SubprocessError) as error:
        print(f"compose faults: FAILED, {error}")
        return 1
    print(table_of(disturber.rows))
    wrong = sum(bool(row.complaints) for row in disturber.rows)
    print(f"compose faults: {len(disturber.rows)} disturbances, {wrong} with something wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
