"""What operators and their machines ask a process over HTTP, on a port of its own: `/metrics`, `/livez`, `/readyz`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from chassis.http_server import serving_http
from chassis.metrics import exposition, histogram, reading
from chassis.settings import ProcessSettings
from chassis.tasks import running

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
GRACE_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 75
AT_ONCE = 16
METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
TEXT_TYPE = b"text/plain; charset=utf-8"

LOOP_LAG = histogram("bourse_event_loop_lag_seconds", "How much later than asked for the event loop came back.")

Failing = Callable[[], Sequence[str]]
"""Says what keeps a process from serving; nothing when it serves."""


@asynccontextmanager
async def observable(settings: ProcessSettings, failing: Failing) -> AsyncIterator[None]:
    """Answer at METRICS_ADDRESS until the block is left; without one, only count.

    Args:
        settings: where to listen.
        failing: what keeps the process from serving.

    Raises:
        AddressInUse: nothing could be bound.
    """
    with ExitStack() as stack:
        stack.enter_context(
            reading("bourse_tasks", "asyncio tasks that are not done.", lambda: float(len(asyncio.all_tasks())))
        )
        stack.enter_context(
            reading("bourse_ready", "Whether the process serves: 1 or 0.", lambda: float(not failing()))
        )
        async with running(_watch_loop()):
            if settings.metrics_address is None:
                yield
                return
            host, _, port = settings.metrics_address.rpartition(":")
            page = _Page(failing)
            async with serving_http(
                page,
                host.strip("[]"),
                int(port),
                grace_seconds=GRACE_SECONDS,
                access_log=False,
                limit_concurrency=AT_ONCE,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ) as bound:
                log.info("observable", extra={"address": f"{host}:{bound}"})
                yield


async def _watch_loop() -> None:
    loop = asyncio.get_running_loop()
    while True:
        wanted = loop.time() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        LOOP_LAG.observe(max(loop.time() - wanted, 0.0))


class _Page:
    """The three answers, as plain ASGI."""

    def __init__(self, failing: Failing) -> None:
        self._failing = failing

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer one request."""
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, TEXT_TYPE, b"only GET and HEAD are answered\n"
        match path:
            case "/metrics":
                return 200, METRICS_TYPE, exposition()
            case "/livez":
                # That the event loop came to this line is the answer.
                return 200, TEXT_TYPE, b"ok\n"
            case "/readyz":
                failing = self._failing()
                if failing:
                    return 503, TEXT_TYPE, f"not ready: {', '.join(failing)}\n".encode()
                return 200, TEXT_TYPE, b"ok\n"
        return 404, TEXT_TYPE, b"here are /metrics, /livez and /readyz\n"
