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
ASSIGNED = re.compile(r"^([A-Z][A-Z0-9_]*)=[ \t]*(\S?)", re.MULTILINE)


def wanted() -> list[str]:
    """Return the names of the passwords, in the order of the example."""
    return [name for name, _ in ASSIGNED.findall(EXAMPLE.read_text())]


def completed(text: str, names: list[str]) -> str:
    """Return a file's text with a value for each name: in its line where that is empty, else in a line at the end.

    Values are parts of addresses as they are.
    """
    for name in names:
        line = f"{name}={token_hex(24)}"
        text, found = re.subn(rf"^{name}=[ \t]*$", line, text, count=1, flags=re.MULTILINE)
        if not found:
            text += ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    return text


def complete(path: Path) -> list[str]:
    """Add what the file lacks, make it its owner's alone, and return the names that were added."""
    present = path.read_text() if path.exists() else ""
    given = {name for name, value in ASSIGNED.findall(present) if value}
    missing = [name for name in wanted() if name not in given]
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(completed(present, missing))
    draft.replace(path)
    return missing


def main() -> None:
    """Complete the file and say what was added."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"
    added = complete(path)
    print(f"{path.name}: added {', '.join(added)}" if added else f"{path.name}: nothing is missing")


if __name__ == "__main__":
    main()
