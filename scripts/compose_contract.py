"""`make compose-contract`: tests/contract on the composed containers, brought up for that and taken down after it.

Arguments are pytest's instead of that folder. Without a Docker engine it says that it is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from harness.compose import missing_tool  # noqa: E402
from harness.compose_suite import COMPOSED, VARIABLE  # noqa: E402

# The first test waits for images.
TEST_SECONDS = 900


def main() -> int:
    """Return pytest's exit code, or 0 when nothing could be tried."""
    if (problem := missing_tool()) is not None:
        print(f"compose contract: SKIPPED, {problem}")
        return 0
    asked = sys.argv[1:] or ["tests/contract"]
    command = [sys.executable, "-m", "pytest", f"--timeout={TEST_SECONDS}", *asked]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, VARIABLE: COMPOSED}, check=False).returncode  # noqa: S603  # our own


if __name__ == "__main__":
    sys.exit(main())
