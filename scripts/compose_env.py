"""`make compose-env`: gives .env a random value for each password that docker-compose.yml asks for and .env lacks.

`python scripts/compose_env.py FILE` does so to another file.
"""

import os
import re
import sys
from pathlib import Path
from secrets import token_hex

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "deploy" / "compose.env.example"
ASSIGNED = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def wanted() -> list[str]:
    """Return the names of the passwords, in the order of the example."""
    return ASSIGNED.findall(EXAMPLE.read_text())


def random_passwords(names: list[str]) -> str:
    """Return a line for each name, with a value that is part of an address as it is."""
    return "".join(f"{name}={token_hex(24)}\n" for name in names)


def complete(path: Path) -> list[str]:
    """Append what the file lacks, make it its owner's alone, and return the names that were added."""
    present = path.read_text() if path.exists() else ""
    missing = [name for name in wanted() if name not in ASSIGNED.findall(present)]
    gap = "" if not present or present.endswith("\n") else "\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(gap + random_passwords(missing))
    return missing


def main() -> None:
    """Complete the file and say what was added."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    added = complete(path)
    print(f"{path.name}: added {', '.join(added)}" if added else f"{path.name}: nothing is missing")


if __name__ == "__main__":
    main()
