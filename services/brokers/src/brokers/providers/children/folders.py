"""The children's working folders: private, empty, gone with the child; a dead service's go at the next start."""

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path


class ChildFolders:
    """One service's folder of folders, locked for as long as the service lives."""

    def __init__(self, base: Path) -> None:
        """Remove what dead services have left and make a folder of our own.

        Args:
            base: the folder all services of a machine share; it is made when it is not there.
        """
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in base.iterdir():
            _remove_if_left(left)
        self.root = (base / secrets.token_hex(8)).absolute()
        self.root.mkdir(mode=0o700)
        self._lock = os.open(self.root, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def make(self) -> Path:
        """Return a new empty folder that only this user may enter."""
        folder = self.root / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder and what is in it."""
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose service no longer holds its lock."""
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
