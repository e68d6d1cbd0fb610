"""A full disk: what is there is read, what is new is refused, and what was acknowledged is there once there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.backends import EMBEDDED, UNLIMITED, running_suite
from harness.degradation import AWAY, OK, Fault, Stand, course_of, metric_is, table_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

DISK_BYTES = 6 * 1024 * 1024
BALLAST = "ballast"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own for one database, small enough to be filled."""
    folder = tmp_path_factory.mktemp("disk")
    if sys.platform != "linux" or os.geteuid() != 0 or not _has_mounted(folder):
        pytest.skip("a disk of its own needs Linux and root: a full disk is not tested")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


def _has_mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0


def fill(disk: Path) -> None:
    with (disk / BALLAST).open("ab", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))


@pytest.fixture(scope="module")
def stand(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    own = {
        f"{name.upper()}_DATABASE_URL": f"sqlite+aiosqlite:///{disk}/{name}.sqlite3" for name in ("portfolio", "alerts")
    }
    with running_suite(EMBEDDED, tmp_path_factory.mktemp("suite"), {**UNLIMITED, **own}) as suite:
        stand = Stand(suite)
        yield stand
        (disk / BALLAST).unlink(missing_ok=True)
        print("\n" + table_of(stand.rows))  # noqa: T201  # shown by -s


async def test_on_a_full_disk_reads_go_on_and_writes_are_refused_until_there_is_room(stand: Stand, disk: Path) -> None:
    fault = Fault(
        "disk of portfolio and alerts full",
        lambda: fill(disk),
        (disk / BALLAST).unlink,
        (metric_is("portfolio", "bourse_database_failures_total", lambda failures: failures > 0),),
        {"stocks": AWAY, "alert": AWAY},
    )

    async with course_of(stand, fault) as course:
        assert {outcome.status for outcome in course.during("stocks")} & AWAY
        for kind in ("lists", "alerts"):
            assert {outcome.status for outcome in course.during(kind)} <= OK
