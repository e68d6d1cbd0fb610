"""Credentials that would be known again anywhere, and the search for them in files, processes and messages.

A canary is random and long, so that eight of its characters in a row occur nowhere by chance. It is looked for in
pieces of eight characters: as they are, in base64 at each of its three alignments, in hexadecimal, URL-encoded and as
UTF-16.
"""

import base64
import os
import secrets
import stat
import string
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

PIECE = 8
CHUNK_BYTES = 16 * 1024 * 1024
SAMPLE_SECONDS = 0.02
# What encodings treat in their own way; a broker's code may hold all of these.
SYMBOLS = "+/=&%"
LETTERS = string.ascii_letters + string.digits
LETTERS_BETWEEN = 6


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a canary was found, and in which form."""

    place: str
    canary: str
    form: str


def new_canary() -> str:
    """Return a credential of 41 characters: letters and digits, and among them some that encodings change."""
    parts = ["".join(secrets.choice(LETTERS) for _ in range(LETTERS_BETWEEN)) for _ in range(len(SYMBOLS) + 1)]
    return "".join(part + symbol for part, symbol in zip(parts, (*SYMBOLS, ""), strict=True))


class CanarySearch:
    """Looks for canaries, given by a name for each, in whatever bytes it is shown."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        found: dict[bytes, tuple[str, str]] = {}
        for name, canary in canaries.items():
            for form, pattern in _patterns_of(canary):
                found.setdefault(pattern, (name, form))
        self._by_beginning: dict[bytes, list[tuple[bytes, tuple[str, str]]]] = {}
        for pattern, what in found.items():
            self._by_beginning.setdefault(pattern[:PIECE], []).append((pattern, what))
        self._beginnings = np.sort(np.frombuffer(b"".join(self._by_beginning), dtype="<u8"))
        self._overlap = max(map(len, found)) - 1
        self.searched_bytes = 0

    def in_bytes(self, content: bytes, place: str) -> list[Hit]:
        """Return every canary and form that the bytes hold."""
        self.searched_bytes += len(content)
        found = [
            what
            for at in self._begins(content)
            for pattern, what in self._by_beginning[content[at : at + PIECE]]
            if content.startswith(pattern, at)
        ]
        return [Hit(place, name, form) for name, form in dict.fromkeys(found)]

    def in_file(self, path: Path) -> list[Hit]:
        """Search a file's name and content; one that vanishes meanwhile had its chance to be seen before."""
        hits = self.in_bytes(os.fsencode(path.name), f"the name of {path}")
        try:
            with path.open("rb") as file:
                kept = b""
                while chunk := file.read(CHUNK_BYTES):
                    hits += self.in_bytes(kept + chunk, str(path))
                    kept = chunk[-self._overlap :]
        except (FileNotFoundError, PermissionError):
            return hits
        return list(dict.fromkeys(hits))

    def in_folders(self, folders: Iterable[Path], *, without: Iterable[str] = ()) -> list[Hit]:
        """Search every regular file below the folders but those of some names, and the name of everything else."""
        hits: list[Hit] = []
        for path in _below(folders, set(without)):
            if _is_regular(path):
                hits += self.in_file(path)
            else:
                hits += self.in_bytes(os.fsencode(path.name), f"the name of {path}")
        return hits

    def in_process(self, pid: int) -> list[Hit]:
        """Search a process's command line and environment, where the system shows them."""
        hits: list[Hit] = []
        for name in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            hits += self.in_bytes(content, f"{name} of process {pid}")
        return hits

    def _begins(self, content: bytes) -> Iterator[int]:
        """Yield where eight bytes stand that some pattern begins with: eight passes, each over every eighth place."""
        for offset in range(min(PIECE, len(content) - PIECE + 1)):
            count = (len(content) - offset) // PIECE
            windows: npt.NDArray[np.uint64] = np.frombuffer(content, dtype="<u8", count=count, offset=offset)
            at = np.searchsorted(self._beginnings, windows)
            at[at == len(self._beginnings)] = 0
            for number in np.flatnonzero(self._beginnings[at] == windows):
                yield offset + int(number) * PIECE


class WatchedProcesses:
    """Searches the command lines and environments of processes and all that they start, again and again."""

    def __init__(self, search: CanarySearch, roots: Iterable[int]) -> None:
        self._search = search
        self._roots = tuple(roots)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.hits: list[Hit] = []
        self.seen: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            pids = descendants_of(self._roots)
            self.seen |= pids
            for pid in pids:
                self.hits += self._search.in_process(pid)


def descendants_of(roots: Iterable[int]) -> set[int]:
    """Return the processes and all that they started and that still run; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def changed_since(moment: float, folders: Iterable[Path], *, without: Iterable[str] = ()) -> list[Path]:
    """Return the regular files below the folders that were written after `moment`, seconds since 1970."""
    skipped = set(without)
    found = []
    for path in _below(folders, skipped):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime >= moment:
            found.append(path)
    return found


def now() -> float:
    """Return a time for `changed_since`, early enough for any file system's clock."""
    return time.time() - 2


def _patterns_of(canary: str) -> Iterator[tuple[str, bytes]]:
    raw = canary.encode()
    yield from (("raw", piece) for piece in _pieces(raw, PIECE))
    for skipped in range(3):
        # What stands before and after decides over the ends of the code, so only what is the canary's own is kept.
        whole = raw[skipped : skipped + (len(raw) - skipped) // 3 * 3]
        yield from (("base64", piece) for piece in _pieces(base64.b64encode(whole), PIECE))
        yield from (("base64", piece) for piece in _pieces(base64.urlsafe_b64encode(whole), PIECE))
    # Eight hexadecimal digits are too few to be nobody else's: eight characters are sixteen of them.
    yield from (("hexadecimal", piece) for piece in _pieces(raw.hex().encode(), 2 * PIECE))
    yield from (("hexadecimal", piece) for piece in _pieces(raw.hex().upper().encode(), 2 * PIECE))
    encoded = quote(canary, safe="").encode()
    yield from (("URL-encoded", piece) for piece in _pieces(encoded, PIECE))
    yield from (("URL-encoded", piece) for piece in _pieces(encoded.lower(), 2 * PIECE) if b"%" in piece)
    yield from (("UTF-16", piece) for piece in _pieces(canary.encode("utf-16-le"), 2 * PIECE))
    yield "reversed", raw[::-1]


def _pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(len(text) - size + 1))


def _below(folders: Iterable[Path], skipped: Collection[str] = ()) -> Iterator[Path]:
    for folder in folders:
        for name, directories, files in os.walk(folder):
            directories[:] = [each for each in directories if each not in skipped]
            yield from (Path(name) / each for each in (*directories, *files))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
