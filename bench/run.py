"""Runs every bench, one after the other, each in a process of its own; `make bench` is this."""

import subprocess
import sys
from pathlib import Path

BENCHES = ("reads", "ticks", "stream", "matcher", "signals", "frames", "portfolio")


def main() -> None:
    failed = []
    for name in sys.argv[1:] or BENCHES:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
