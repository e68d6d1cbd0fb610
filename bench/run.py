"""Runs every bench, one after the other, each in a process of its own; `make bench` is this."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# The brokers and vendors that are played for tests.
STAND_INS = str(HERE.parent / "tests")
BENCHES = ("reads", "ticks", "stream", "matcher", "fires", "signals", "frames", "syncs", "answers")


def main() -> None:
    failed = []
    for name in sys.argv[1:] or BENCHES:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py")]
        if subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": STAND_INS}).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
