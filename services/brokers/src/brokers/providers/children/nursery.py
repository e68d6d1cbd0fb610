"""Runs jobs in children: one child a job, with a hard deadline, and nothing of either left behind."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from brokers.domain.brokers import Broker
from brokers.domain.secrets import Secret
from brokers.providers.children.folders import ChildFolders
from brokers.providers.children.isolation import clean_environment
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal
from brokers.providers.children.wire import (
    CONTROL_BYTES,
    JSON,
    LENGTH,
    MAX_ANSWER_BYTES,
    Control,
    frame,
    pack_control,
    unpack_control,
)
from chassis.metrics import SECONDS, counter, histogram
from chassis.tasks import running

log = logging.getLogger(__name__)

START_SECONDS = 30.0
WAIT_FOR_START_SECONDS = 10.0
END_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
MAX_HELLO_BYTES = 64
BIG_ANSWER_BYTES = 256 * 1024
FORKSERVER = "brokers.providers.children.forkserver"

_BROKERS = {"kite": Broker.ZERODHA, "breeze": Broker.ICICI}
# What each broker is asked, which are the names of `jobs.JOBS`; the service loads no job.
QUESTIONS = {
    "kite": ("portfolio", "session", "quotes", "instruments"),
    "breeze": ("portfolio", "session", "quotes", "security_master"),
}
_ANSWERED = "ok"
_CALLS = counter("bourse_brokers_calls", "Questions asked of brokers.", ["broker", "call", "outcome"])
_CALL_SECONDS = histogram(
    "bourse_brokers_call_seconds",
    "Questions asked of brokers, waiting for a free child included.",
    ["broker", "call"],
    bounds=(*SECONDS, 60.0),
)
_CHILDREN = counter("bourse_brokers_children_started", "Children forked.")
_KILLED = counter(
    "bourse_brokers_children_killed", "Children that had not answered when their time or caller was gone."
)
_FORKSERVERS_LOST = counter("bourse_brokers_forkservers_lost", "Forkservers that ended while they were needed.")

# A counter that is not there before its first event shows no increase with it.
for vendor, questions in QUESTIONS.items():
    for question in questions:
        for outcome in (_ANSWERED, *Refusal):
            _CALLS.labels(_BROKERS[vendor].value, question, outcome)


class PreloadFailed(RuntimeError):
    """The forkserver could not import the SDKs, or ended before it had."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the broker SDKs cannot be loaded: {problem}")


class _AnswerTooLong(ValueError):
    """A child answered more than is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class _Child:
    """A child that runs, or is about to."""

    number: int
    folder: Path
    ended: asyncio.Event


class _Server:
    """A running forkserver, seen from the service."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket, folders: ChildFolders) -> None:
        self.process = process
        self._control = control
        self._folders = folders
        self._children: dict[int, _Child] = {}
        self._numbers = count(1)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    @property
    def children(self) -> int:
        """Return how many children there are."""
        return len(self._children)

    async def until_ready(self) -> None:
        """Wait until it has loaded the SDKs.

        Raises:
            PreloadFailed: it could not.
            TimeoutError: it took too long.
        """
        # asyncio reads what it says over a copy; the original hands connections over, which streams cannot.
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._control.dup())
        async with asyncio.timeout(START_SECONDS):
            try:
                what, _, length = unpack_control(await self._reader.readexactly(CONTROL_BYTES))
                if what is Control.READY:
                    return
                problem = (await self._reader.readexactly(length)).decode(errors="replace")
            except asyncio.IncompleteReadError:
                problem = f"the forkserver ended with {await asyncio.to_thread(self.process.wait, END_SECONDS)}"
        raise PreloadFailed(problem)

    async def until_gone(self) -> None:
        """Keep track of children that end, until the forkserver itself does."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                _, number, _ = unpack_control(await self._reader.readexactly(CONTROL_BYTES))
                self._forget(number)

    def fork(self, connection: socket.socket) -> _Child:
        """Ask for a child at the other end of a connection.

        Raises:
            OSError: the forkserver is gone.
        """
        child = _Child(next(self._numbers), self._folders.make(), asyncio.Event())
        self._children[child.number] = child
        try:
            socket.send_fds(self._control, [pack_control(Control.FORK, child.number)], [connection.fileno()])
        except OSError:
            self._forget(child.number)
            raise
        _CHILDREN.inc()
        return child

    async def end(self, child: _Child) -> None:
        """End a child, if it still runs, and wait until it is gone and its folder with it."""
        if child.ended.is_set():
            return
        with suppress(OSError):
            self._control.sendall(pack_control(Control.KILL, child.number))
        with suppress(TimeoutError):
            await asyncio.wait_for(child.ended.wait(), END_SECONDS)

    async def close(self) -> None:
        """End the forkserver, and with it all children: it does so when its control socket closes, or is killed."""
        if hasattr(self, "_writer"):
            self._writer.close()
        self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, END_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            for number in list(self._children):
                self._forget(number)

    def _forget(self, number: int) -> None:
        child = self._children.pop(number, None)
        if child is not None:
            self._folders.remove(child.folder)
            child.ended.set()


class Nursery:
    """Runs jobs in children of one forkserver, which it starts again when it dies."""

    def __init__(self, run_dir: Path, *, at_most: int) -> None:
        """Describe the nursery; `open` starts it.

        Args:
            run_dir: under it lie the children's working folders.
            at_most: how many children may run at once; whoever comes then waits within its deadline.
        """
        self._base = run_dir / "children"
        self._slots = asyncio.Semaphore(at_most)
        self._waiting = 0
        self._server: _Server | None = None
        self._changed = asyncio.Condition()
        self._is_broken = False

    @classmethod
    @asynccontextmanager
    async def open(cls, run_dir: Path, *, at_most: int) -> AsyncIterator["Nursery"]:
        """Keep a forkserver running until the block is left; then everything of it is gone."""
        nursery = cls(run_dir, at_most=at_most)
        folders = ChildFolders(nursery._base)
        try:
            async with running(nursery._keep_running(folders)):
                yield nursery
        finally:
            folders.close()

    async def is_ready(self) -> bool:
        """Say whether a child could be forked now."""
        return self._server is not None

    @property
    def children(self) -> int:
        """Return how many children run."""
        return 0 if self._server is None else self._server.children

    @property
    def waiting(self) -> int:
        """Return how many jobs wait for a free place."""
        return self._waiting

    @property
    def forkserver_pid(self) -> int | None:
        """Return the forkserver's process id; None while there is none."""
        return None if self._server is None else self._server.process.pid

    async def run(
        self, job: str, *, secrets: Mapping[str, Secret], parameters: Mapping[str, JSON], deadline_seconds: float
    ) -> JSON:
        """Run a job in a child of its own and return its answer; the child is gone when this returns or raises.

        Args:
            job: a name of `jobs.JOBS`.
            secrets: what only the child may know; it is revealed once the child has closed itself off.
            parameters: what else the job needs.
            deadline_seconds: when the child is killed, whatever it does; waiting for a free place counts.

        Raises:
            ChildRefused: the job brought no answer.
        """
        with _counted(job):
            try:
                async with asyncio.timeout(deadline_seconds) as deadline, self._place():
                    server = await self._ready_server()
                    left = (deadline.when() or 0.0) - asyncio.get_running_loop().time()
                    task = {"job": job, "parameters": dict(parameters), "deadline_seconds": left}
                    answer = await _converse(server, task, secrets)
                    return await asyncio.to_thread(_read, answer) if len(answer) > BIG_ANSWER_BYTES else _read(answer)
            except TimeoutError:
                raise ChildRefused(Refusal.TIMEOUT) from None

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _ready_server(self) -> _Server:
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_FOR_START_SECONDS):
                    await self._changed.wait_for(lambda: self._server is not None or self._is_broken)
        if self._server is None:
            raise ChildRefused(Refusal.UNAVAILABLE)
        return self._server

    async def _keep_running(self, folders: ChildFolders) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if await self._serve(folders):
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 4, LONGEST_PAUSE_SECONDS)

    async def _serve(self, folders: ChildFolders) -> bool:
        """Run one forkserver until it dies; say whether it was ever ready."""
        server: _Server | None = None
        try:
            server = _start(folders)
            await server.until_ready()
            log.info("children ready", extra={"forkserver": server.process.pid})
            await self._set(server, is_broken=False)
            await server.until_gone()
            _FORKSERVERS_LOST.inc()
            log.warning("forkserver gone", extra={"forkserver": server.process.pid})
        except Exception as error:  # noqa: BLE001  # whatever breaks one forkserver, the next is tried
            log.error("children cannot be forked", extra={"problem": str(error) or type(error).__name__})  # noqa: TRY400
            await self._set(None, is_broken=True)
            return False
        finally:
            self._server = None
            if server is not None:
                await server.close()
        await self._set(None, is_broken=False)
        return True

    async def _set(self, server: _Server | None, *, is_broken: bool) -> None:
        async with self._changed:
            self._server, self._is_broken = server, is_broken
            self._changed.notify_all()


def _start(folders: ChildFolders) -> _Server:
    """Start a forkserver that knows the control socket, a clean environment, and nothing else of ours."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    command = [sys.executable, "-P", "-m", FORKSERVER, str(theirs.fileno()), str(os.getpid())]
    try:
        process = subprocess.Popen(  # noqa: S603  # our own module
            command,
            env=clean_environment(os.environ),
            cwd=folders.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Server(process, ours, folders)


@contextmanager
def _counted(job: str) -> Iterator[None]:
    vendor, _, question = job.partition("_")
    asked = _BROKERS[vendor].value, question
    with _CALL_SECONDS.labels(*asked).time():
        try:
            yield
        except ChildRefused as refused:
            _CALLS.labels(*asked, refused.kind.value).inc()
            raise
    _CALLS.labels(*asked, _ANSWERED).inc()


async def _converse(server: _Server, task: dict[str, JSON], secrets: Mapping[str, Secret]) -> bytes:
    """Have a child forked, give it its job once it is closed off, and return what it answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with theirs:
            child = server.fork(theirs)
    except OSError:
        ours.close()
        raise ChildRefused(Refusal.UNAVAILABLE) from None
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        await _receive(reader, at_most=MAX_HELLO_BYTES)
        revealed = {name: secret.reveal() for name, secret in secrets.items()}
        writer.write(frame({**task, "folder": str(child.folder), "secrets": revealed}))
        del revealed
        return await _receive(reader, at_most=MAX_ANSWER_BYTES)
    except _AnswerTooLong:
        raise ChildRefused(Refusal.INVALID_ANSWER) from None
    except (asyncio.IncompleteReadError, ConnectionError):
        raise ChildRefused(Refusal.UNAVAILABLE) from None
    except asyncio.CancelledError:
        _KILLED.inc()
        raise
    finally:
        writer.close()
        # Its answer was its last word: killing it is only quicker than waiting for its end.
        await server.end(child)


async def _receive(reader: asyncio.StreamReader, *, at_most: int) -> bytes:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > at_most:
        raise _AnswerTooLong
    return await reader.readexactly(length)


def _read(answer: bytes) -> JSON:
    try:
        message = json.loads(answer)
    except RecursionError:
        # A child calls from less deep within, so that it can write what cannot be read here.
        raise ChildRefused(Refusal.INVALID_ANSWER) from None
    refused = message.get("refused")
    if refused is None:
        return message["answer"]
    problem = message["problem"]
    raise ChildRefused(Refusal(refused), None if problem is None else Problem(problem))
