"""A child's whole life: close itself off, say so, take one job with its credentials, answer, end."""

import os
import signal
import socket
import threading
from pathlib import Path
from typing import NoReturn

from brokers.providers.children.isolation import (
    bound_memory,
    die_with_parent,
    fall_silent,
    forbid_files,
    settle_in,
)
from brokers.providers.children.jobs import JOBS
from brokers.providers.children.refusals import ChildRefused, Refusal
from brokers.providers.children.transport import guard_requests
from brokers.providers.children.wire import JSON, MAX_ANSWER_BYTES, MAX_JOB_BYTES, frame, receive_frame
from chassis.process_control import forbid_core_dumps

MEMORY_BYTES = 512 * 1024 * 1024
CALL_TIMEOUT_SECONDS = 7.0
READY = "ready"


def live(connection: socket.socket, *, parent: int) -> NoReturn:
    """Be a child: do one job that comes over `connection` and end the process.

    Args:
        connection: the pipe to the service, over which the credentials come once this process is closed off.
        parent: the forkserver, with which it dies.
    """
    try:
        close_off(parent)
        connection.settimeout(None)
        connection.sendall(frame(READY))
        job = receive_frame(connection, at_most=MAX_JOB_BYTES)
        # The service ends a child through the forkserver; should that hang, the kernel ends it a little later.
        signal.setitimer(signal.ITIMER_REAL, job["deadline_seconds"] + 1)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        timeout_seconds = job["parameters"].get("timeout_seconds", CALL_TIMEOUT_SECONDS)
        settle_in(Path(job["folder"]), timeout_seconds=timeout_seconds)
        guard_requests(timeout_seconds=timeout_seconds, follows_redirects=not job["secrets"])
        connection.sendall(answer_to(job))
    finally:
        os._exit(0)


def close_off(parent: int) -> None:
    """Make sure that nothing of this process outlives it or leaves it but by its pipe."""
    forbid_core_dumps()
    die_with_parent(parent)
    os.setsid()
    fall_silent()
    forbid_files()
    bound_memory(MEMORY_BYTES)


def answer_to(job: JSON) -> bytes:
    """Do a job and return the frame that answers it; no exception's text is in it."""
    try:
        answer = frame({"answer": _done(job)})
    except ChildRefused as refused:
        return _refusal(refused)
    except (MemoryError, RecursionError, TypeError, ValueError):
        return _refusal(ChildRefused(Refusal.INVALID_ANSWER))
    if len(answer) > MAX_ANSWER_BYTES:
        return _refusal(ChildRefused(Refusal.INVALID_ANSWER))
    return answer


def _done(job: JSON) -> JSON:
    task = JOBS[job["job"]]
    try:
        return task.run(job["secrets"], job["parameters"])
    except (ChildRefused, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # an SDK raises what it likes; its text stays here
        raise task.refusal_of(error) from None


def _refusal(refused: ChildRefused) -> bytes:
    problem = None if refused.problem is None else refused.problem.value
    return frame({"refused": refused.kind.value, "problem": problem})


def _end_with(connection: socket.socket) -> None:
    """End when the service goes, or says anything more: it has nothing more to say."""
    with connection.dup() as watched:
        watched.recv(1)
    os._exit(0)
