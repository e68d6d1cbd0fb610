"""Argon2id by argon2-cffi, in a few threads of its own so that the event loop lives."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

from chassis.errors import Code, ServiceError
from chassis.metrics import counter, histogram

_SECONDS = histogram("bourse_auth_password_seconds", "Hashing or checking one password, waiting for a thread included.")
_REFUSED = counter("bourse_auth_passwords_refused", "Passwords not looked at because too many waited.")

RETRY_AFTER_SECONDS = 1.0

ResultT = TypeVar("ResultT")


class PasswordsBusy(ServiceError):
    """So many passwords wait to be checked that one more would not be in time."""

    code = Code.UNAVAILABLE
    reason = "PASSWORDS_BUSY"
    retry_after_seconds = RETRY_AFTER_SECONDS

    def __init__(self) -> None:
        super().__init__("too many people are signing in at this moment; try again shortly")


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one hash costs.

    Attributes:
        time_cost: passes over the memory.
        memory_kib: memory, in KiB.
        lanes: threads of one hash.
    """

    time_cost: int
    memory_kib: int
    lanes: int


class Argon2Passwords:
    """Hashes and verifies passwords."""

    def __init__(self, pool: ThreadPoolExecutor, cost: Argon2Cost, *, max_waiting: int) -> None:
        self._pool = pool
        self._hasher = PasswordHasher(time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._max_waiting = max_waiting
        self._waiting = 0
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe())

    @classmethod
    @asynccontextmanager
    async def open(cls, cost: Argon2Cost, *, workers: int, max_waiting: int) -> AsyncIterator["Argon2Passwords"]:
        """Start the threads, and end them on leaving without starting what still waits.

        Args:
            cost: what one hash costs; memory is taken once a worker.
            workers: how many passwords are checked at once.
            max_waiting: how many calls may be under way or wait; more are refused.
        """
        pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        try:
            yield cls(pool, cost, max_waiting=max_waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Return how many calls are under way or wait."""
        return self._waiting

    async def hash(self, password: SecretStr) -> str:
        """Return a salted hash, its parameters included.

        Raises:
            PasswordsBusy: too many wait already.
        """
        return await self._run(lambda: self._hasher.hash(password.get_secret_value()))

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Say whether the password fits; None is checked against nobody's hash and never fits.

        Raises:
            PasswordsBusy: too many wait already.
        """
        compared = self._nobodys_hash if password_hash is None else password_hash
        fits = await self._run(lambda: self._fits(password, compared))
        return fits and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Say whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _fits(self, password: SecretStr, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password.get_secret_value())
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= self._max_waiting:
            _REFUSED.inc()
            raise PasswordsBusy
        self._waiting += 1
        try:
            # A caller that gives up takes its work out of the queue; only what a thread has begun is finished.
            with _SECONDS.time():
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
