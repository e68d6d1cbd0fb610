"""The commands of docs/operations.md, run as they stand there against composed containers."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from harness.compose import FILE, ROOT, UP_SECONDS, Project

HANDBOOK = ROOT / "docs" / "operations.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """One block of commands: the one of a section that has a word in it and is about composed containers."""

    section: str
    word: str


SAVE = Step("Backup", "pg_dump")
PUT_KEYS_BACK = Step("Restore", "mkdir auth")
GO_BACK = Step("Restore", "pg_restore")
TAKE_KEYS_AWAY = Step("Restore", "rm -r /var/lib/bourse/auth-keys")
SKIP_NUMBERS = Step("Restore", "setval")
STEPS = (SAVE, PUT_KEYS_BACK, GO_BACK, TAKE_KEYS_AWAY, SKIP_NUMBERS)


def block_of(step: Step) -> str:
    """Return a step's commands."""
    [section] = re.findall(rf"^## {step.section}\n(.*?)(?=^## )", HANDBOOK.read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in BLOCK.findall(section) if step.word in block and "docker compose" in block]
    return str(block)


class Handbook:
    """Runs steps in a folder where `docker compose` means the project's containers."""

    def __init__(self, project: Project, folder: Path) -> None:
        self._folder = folder
        shutil.copy(project.variables, folder / ".env")
        self._environment = {
            **project.environment,
            "COMPOSE_PROJECT_NAME": project.name,
            "COMPOSE_FILE": str(FILE),
            "COMPOSE_ENV_FILES": str(folder / ".env"),
        }

    def save(self) -> str:
        """Make a backup, and return its folder."""
        before = self._backups()
        self.run(SAVE)
        [made] = self._backups() - before
        return made

    def run(self, step: Step, *, backup: str = "") -> None:
        """Run a step's commands and show them; `backup` is the folder they read."""
        block = block_of(step)
        print(f"$ {block}", flush=True)  # noqa: T201  # a command's output
        command = ["sh", "-e", "-c", block]
        environment = {**self._environment, "backup": backup}
        subprocess.run(command, cwd=self._folder, env=environment, check=True, timeout=UP_SECONDS)

    def _backups(self) -> set[str]:
        return {str(path.relative_to(self._folder)) for path in self._folder.glob("backup/*")}
