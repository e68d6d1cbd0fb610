"""More than the gateway can do: what of it is done, and how long the admitted wait, with and without shedding load.

Asked is a call to a service that does next to nothing, so that the gateway is what is full: first as fast as answers
come, which is its capacity, then once and three times as often, whatever the answers do. Clients wait five seconds and
leave; an answer within one is good. Beside it somebody reads a kept answer, which is never refused.
"""

import asyncio
import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from load import OK, Connection, Result, Target, closed_loop, connect, fixed_rate
from processes import LOAD_CORE, MEASURED_CORE, pin, surroundings
from reads import UNREACHED_LIMITS, fetch, running_suite

CALLED, KEPT = "/zerodha/status", "/api/index/snapshot"
UNBOUNDED, BOUNDED = 100_000, int(os.environ.get("GATEWAY_MAX_IN_FLIGHT", "256"))
CAPACITY_SECONDS, OVERLOAD_SECONDS = 2.0, 4.0
GOOD_SECONDS, PATIENCE_SECONDS = 1.0, 5.0
KEPT_PER_SECOND = 50
MAX_CONNECTIONS = 6_000
LOADS = (1, 3)
MILLISECONDS = 1e3
REFUSED = 503


@dataclass(slots=True)
class Tally:
    """What became of requests that were due at a fixed rate; seconds count from when each was due.

    Attributes:
        late: how much later than due each was asked, which is the load's own fault.
    """

    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: int = 0
    unanswered: int = 0
    late: list[float] = field(default_factory=list)

    @property
    def offered(self) -> int:
        return len(self.late)

    def note(self, status: int, seconds: float) -> None:
        if status == OK:
            self.admitted.append(seconds)
        elif status == REFUSED:
            self.refused.append(seconds)
        else:
            self.others += 1

    def goodput(self, seconds: float) -> float:
        return sum(each <= GOOD_SECONDS for each in self.admitted) / seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one gateway."""

    times: int
    tally: Tally
    kept: Result


def share(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


class Surge:
    """Asks at a rate whatever the answers do, over as many connections as that takes."""

    def __init__(self, target: Target) -> None:
        self._port, self._request = target.port, target.request()
        self._idle: deque[Connection] = deque()
        self._asked: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def run(self, per_second: float, seconds: float) -> Tally:
        started = time.perf_counter()
        for number in range(int(per_second * seconds)):
            due = started + number / per_second
            # A sleep that is not one still lets the answers in.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.tally.late.append(time.perf_counter() - due)
            self._ask(due)
        await asyncio.gather(*self._asked)
        for connection in self._idle:
            assert connection.transport is not None
            connection.transport.close()
        return self.tally

    def _ask(self, due: float) -> None:
        if len(self._asked) >= MAX_CONNECTIONS:
            self.tally.unanswered += 1
            return
        task = asyncio.create_task(self._wait_for_answer(due))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _wait_for_answer(self, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                connection = self._idle.popleft() if self._idle else await connect(self._port)
                status = await self._answer_of(connection)
        except (TimeoutError, OSError):
            self.tally.unanswered += 1
            return
        self._idle.append(connection)
        self.tally.note(status, time.perf_counter() - due)

    async def _answer_of(self, connection: Connection) -> int:
        assert connection.transport is not None
        try:
            return await connection.ask(self._request)
        except BaseException:
            connection.transport.abort()
            raise


async def both(called: Target, kept: Target, per_second: float, times: int) -> Run:
    tally, read = await asyncio.gather(
        Surge(called).run(per_second * times, OVERLOAD_SECONDS), fixed_rate(kept, KEPT_PER_SECOND, OVERLOAD_SECONDS)
    )
    return Run(times, tally, read)


def measured(max_in_flight: int) -> tuple[float, list[Run]]:
    """Return the capacity of a gateway with this bound, and what it did at each load."""
    with (
        tempfile.TemporaryDirectory(prefix="bourse-bench-") as name,
        running_suite(Path(name), GATEWAY_MAX_IN_FLIGHT=str(max_in_flight), **UNREACHED_LIMITS) as run,
    ):
        for process in run["processes"]:
            pin(process["pid"], MEASURED_CORE if process["name"] == "gateway" else LOAD_CORE)
        port = int(run["gateway_url"].rsplit(":", 1)[1])
        called, kept = Target(port, CALLED), Target(port, KEPT)
        fetch(run["gateway_url"] + KEPT)
        capacity = uvloop.run(closed_loop(called, CAPACITY_SECONDS)).rate
        return capacity, [uvloop.run(both(called, kept, capacity, times)) for times in LOADS]


def report(capacity: float, run: Run) -> None:
    tally, kept = run.tally, run.kept
    waits = [share(tally.admitted, part) * MILLISECONDS for part in (0.5, 0.99)]
    refusal = share(tally.refused, 0.99) * MILLISECONDS
    print(
        f"  {run.times} x capacity: goodput {tally.goodput(OVERLOAD_SECONDS):6,.0f}/s"
        f" ({tally.goodput(OVERLOAD_SECONDS) / capacity:.2f} of capacity)"
        f"  admitted p50 {waits[0]:7.1f} ms  p99 {waits[1]:7.1f} ms"
        f"  refused {len(tally.refused) / tally.offered:4.0%} (p99 {refusal:.1f} ms)"
        f"  unanswered {tally.unanswered / tally.offered:4.0%}  others {tally.others}"
        f"  asked {share(tally.late, 0.99) * MILLISECONDS:.0f} ms late"
        f"  kept p99 {kept.percentile(0.99) * MILLISECONDS:.1f} ms, not 200: {kept.not_ok}"
    )


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pin(os.getpid(), LOAD_CORE)
    print(surroundings())
    for bound, words in ((UNBOUNDED, "nothing is refused"), (BOUNDED, f"{BOUNDED} at once")):
        capacity, runs = measured(bound)
        print(f"{words}: capacity {capacity:,.0f}/s")
        for run in runs:
            report(capacity, run)


if __name__ == "__main__":
    main()
