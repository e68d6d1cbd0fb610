"""Named health checks behind the standard gRPC health service.

The empty name says whether the whole process serves: all its critical checks hold.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from chassis.metrics import reading
from chassis.tasks import end, running

log = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 0.5
CHECK_TIMEOUT_SECONDS = 1.0
OVERALL = ""
# Callers watch this name: it says NOT_SERVING a moment before calls are refused, and whatever else fails, only then.
ACCEPTING = "accepting"

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _NamedCheck:
    check: Check
    critical: bool


class _Servicer(health_aio.HealthServicer):  # type: ignore[misc]
    """Adds what the library's asyncio servicer leaves out: the protocol's List, and an end to Watch."""

    def __init__(self, statuses: Callable[[], dict[str, bool]]) -> None:
        super().__init__()
        self._statuses = statuses
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: object) -> None:  # noqa: N802
        """Say how a name stands and each change, until the caller leaves or the server stops."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait([watch])
        finally:
            watch.cancel()
            self._watches.discard(watch)

    async def wait_until_unwatched(self, seconds: float) -> None:
        """Wait until nobody watches any more, for so long at most."""
        if self._watches:
            await asyncio.wait(self._watches, timeout=seconds)

    def end_watches(self) -> None:
        """End what would otherwise last as long as its callers."""
        for watch in self._watches:
            watch.cancel()

    async def List(self, request: health_pb2.HealthListRequest, context: object) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802
        """Answer with the state of the whole and of every named check."""
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=_status(holds=holds))
                for name, holds in self._statuses().items()
            }
        )


def _status(*, holds: bool) -> "health_pb2.HealthCheckResponse.ServingStatus":
    return health_pb2.HealthCheckResponse.SERVING if holds else health_pb2.HealthCheckResponse.NOT_SERVING


async def _outcome_of(check: Check) -> bool | Exception:
    try:
        return await check()
    except Exception as error:  # noqa: BLE001  # whatever a check raises means that it does not hold
        return error


class Health:
    """Evaluates its checks twice a second and tells the gRPC health service what they say."""

    def __init__(self) -> None:
        self._checks: dict[str, _NamedCheck] = {}
        self._states: dict[str, bool] = {OVERALL: False}
        self._tasks: set[asyncio.Task[bool | Exception]] = set()
        self.servicer = _Servicer(lambda: self.states)

    def add(self, name: str, check: Check, *, critical: bool = True) -> None:
        """Register a check; a failing critical one takes the whole process out of service."""
        self._checks[name] = _NamedCheck(check, critical)

    @property
    def states(self) -> dict[str, bool]:
        """Return the last known state of the whole, under the empty name, and of every named check."""
        return dict(self._states)

    def failing(self) -> Sequence[str]:
        """Return the names of the critical checks that do not hold; nothing when the process serves."""
        names = [name for name, named in self._checks.items() if named.critical and not self._states.get(name)]
        return names or ([] if self._states[OVERALL] else ["stopping"])

    async def evaluate(self) -> bool:
        """Run every check once, publish the states and return whether all critical ones hold."""
        results = await asyncio.gather(*(self._holds(name, named.check) for name, named in self._checks.items()))
        for name, holds in zip(self._checks, results, strict=True):
            await self._publish(name, holds=holds)
        serving = all(self._states[name] for name, named in self._checks.items() if named.critical)
        await self._publish(OVERALL, holds=serving)
        return serving

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Evaluate in the background until the block is left; what was said last then stays said."""
        await self.evaluate()
        await self.servicer.set(ACCEPTING, _status(holds=True))
        with reading("bourse_check", "Whether a health check holds: 1 or 0.", self._readings, labels=["check"]):
            try:
                async with running(self._watch()):
                    yield
            finally:
                await end(*self._tasks)

    async def stop_serving(self) -> None:
        """Say NOT_SERVING to everyone who asks or watches from now on."""
        self._states = dict.fromkeys(self._states, False)
        await self.servicer.enter_graceful_shutdown()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)
            await self.evaluate()

    def _readings(self) -> dict[tuple[str, ...], float]:
        return {(name,): float(holds) for name, holds in self._states.items() if name != OVERALL}

    async def _holds(self, name: str, check: Check) -> bool:
        task = asyncio.create_task(_outcome_of(check), name=f"check {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=CHECK_TIMEOUT_SECONDS)
        # Its end is not waited for: a driver may take seconds to take leave of a server that says nothing.
        outcome = task.result() if task.done() and not task.cancelled() else TimeoutError()
        task.cancel()
        if isinstance(outcome, Exception) and self._states.get(name, True):
            log.warning("health check failed", extra={"check": name, "error": type(outcome).__name__})
        return outcome is True

    async def _publish(self, name: str, *, holds: bool) -> None:
        if holds != self._states.get(name):
            level = logging.INFO if holds else logging.WARNING
            log.log(level, "health changed", extra={"check": name or "all critical", "holds": holds})
        self._states[name] = holds
        await self.servicer.set(name, _status(holds=holds))
