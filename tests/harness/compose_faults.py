"""The composed containers crash, are killed, stand still and are cut off, one by one, while everything is asked."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from harness.clients import gateway_client, register
from harness.compose import PROCESSES, STORES, DockerFailed, Project, docker, wait_until
from harness.degradation import (
    AWAY,
    ENVELOPE,
    LONGEST_SECONDS,
    REFUSED,
    SYMBOLS,
    Course,
    Operator,
    Stand,
    check_nothing_half_written,
    health_says,
    questions_of,
    told_after,
)
from harness.prober import Outcome, Prober
from harness.processes import RunningSuite

CONTAINERS = (*PROCESSES, *STORES)
FAULT_SECONDS = 10.0
WELL_SECONDS = 90.0
ENOUGH_ANSWERS = 2
# Nobody but it answers clients.
GATEWAY = "gateway"
HEALTHY = health_says("healthy", lambda body: body["status"] == "healthy")

Heal = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that is done to a container.

    Attributes:
        begin: does it, and returns what ends it.
        seconds: how long it lasts.
    """

    name: str
    begin: Callable[[Project, str], Heal]
    seconds: float = FAULT_SECONDS


def _crash(project: Project, service: str) -> Heal:
    # What runs there dies, and with it the container: only then does its restart policy hold, not after `docker kill`.
    started_at = _started_at(project, service)
    # The shell may die with the rest.
    with suppress(DockerFailed):
        docker("exec", project.container(service), "sh", "-c", "kill -9 -1")
    return lambda: wait_until(
        lambda: _started_at(project, service) != started_at, f"{service} was started again", seconds=WELL_SECONDS
    )


def _started_at(project: Project, service: str) -> str:
    started_at: str = project.inspect(service)["State"]["StartedAt"]
    return started_at


def _kill(project: Project, service: str) -> Heal:
    container = project.container(service)
    docker("kill", container)
    return lambda: docker("start", container)


def _pause(project: Project, service: str) -> Heal:
    container = project.container(service)
    docker("pause", container)
    return lambda: docker("unpause", container)


def _cut_off(project: Project, service: str) -> Heal:
    container = project.container(service)
    networks = sorted(project.inspect(service)["NetworkSettings"]["Networks"])
    for network in networks:
        docker("network", "disconnect", network, container)

    def heal() -> None:
        for network in networks:
            docker("network", "connect", "--alias", service, network, container)

    return heal


DISTURBANCES = {
    each.name: each
    for each in (
        Disturbance("crashed", _crash, seconds=0),
        Disturbance("killed", _kill),
        Disturbance("paused", _pause),
        Disturbance("cut off", _cut_off),
    )
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one disturbance of one container came to.

    Attributes:
        refusals: how often which kind of question was answered otherwise than well, until all was well.
        answers: of how many answers.
        slowest: the slowest answer's seconds and kind.
        well_after: when the last answer that was not good came, and when health was good, in seconds after the end.
        complaints: what must not be.
        logged: how many records with a traceback which container has written meanwhile.
    """

    container: str
    fault: str
    refusals: str
    answers: int
    slowest: str
    well_after: str
    complaints: Sequence[str] = ()
    logged: str = ""


@dataclass(slots=True)
class Disturber:
    """Disturbs the composed containers and asks their gateway meanwhile."""

    project: Project
    gateway_url: str
    rows: list[Row] = field(default_factory=list)

    async def disturb(self, service: str, disturbance: Disturbance) -> Row:
        """Do one thing to one container, wait until all is well again, and return what it came to."""
        stand = Stand(cast("RunningSuite", self))
        async with gateway_client(self.gateway_url) as client:
            account = await register(client)
            questions, portfolio_id = await questions_of(client, account)
        prober = Prober(self.gateway_url, questions, symbols=SYMBOLS)
        operator = Operator(stand)
        complaints: list[str] = []
        since = time.time()
        try:
            async with prober.asking():
                await prober.until_asked(ENOUGH_ANSWERS)
                began_at, healed_at = await self._let_pass(service, disturbance)
                healthy_after = await _until_well(prober, operator, healed_at, complaints)
                well_at = time.monotonic()
            course = Course(stand, account, portfolio_id, prober, operator, began_at, healed_at, well_at)
            complaints += _complaints(course, service, disturbance)
            complaints += await _half_written(course)
        finally:
            await operator.close()
        logged = await asyncio.to_thread(self._tracebacks, since)
        row = Row(service, disturbance.name, *_figures(course, healthy_after), complaints=complaints, logged=logged)
        self.rows.append(row)
        return row

    async def _let_pass(self, service: str, disturbance: Disturbance) -> tuple[float, float]:
        began_at = time.monotonic()
        heal = await asyncio.to_thread(disturbance.begin, self.project, service)
        try:
            await asyncio.sleep(max(0.0, began_at + disturbance.seconds - time.monotonic()))
        finally:
            healed_at = time.monotonic()
            await asyncio.to_thread(heal)
        return began_at, healed_at

    def _tracebacks(self, since: float) -> str:
        logs = {name: self.project.log_since(name, since).splitlines() for name in PROCESSES}
        counts = {name: sum("Traceback (most" in line for line in lines) for name, lines in logs.items()}
        return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


async def _until_well(prober: Prober, operator: Operator, healed_at: float, complaints: list[str]) -> float:
    """Return after how many seconds health was good; everything is answered well when it returns, or it complains."""
    try:
        healthy_after = await told_after(operator, HEALTHY, healed_at, within=WELL_SECONDS)
        await prober.until_good(seconds=WELL_SECONDS)
    except AssertionError as error:
        complaints.append(f"not well after {WELL_SECONDS:g} s: {str(error)[:600]}")
        return time.monotonic() - healed_at
    return healthy_after


def _complaints(course: Course, service: str, disturbance: Disturbance) -> list[str]:
    """Every request ends inside its deadline with an answer that is good or says that somebody is away."""
    # Who stands still answers nothing: what was asked before is answered after.
    patience = LONGEST_SECONDS + (disturbance.seconds if service == GATEWAY else 0)
    outcomes = course.prober.since(course.began_at)
    found = [f"slow: {_told(outcome)}" for outcome in course.prober.slower_than(patience) if outcome in outcomes]
    return found + [f"wrong: {_told(each)}" for each in outcomes if not _is_right(each, service)]


def _is_right(outcome: Outcome, service: str) -> bool:
    if outcome.is_good:
        return True
    if outcome.status is None:
        return service == GATEWAY
    if outcome.status not in AWAY or not isinstance(outcome.body, dict):
        return False
    says_when = outcome.status not in REFUSED or int(outcome.headers.get("retry-after", 0)) >= 1
    return says_when and set(outcome.body) >= ENVELOPE


def _told(outcome: Outcome) -> str:
    return f"{outcome.kind} {outcome.status} after {outcome.seconds:.1f} s: {str(outcome.body)[:200]}"


async def _half_written(course: Course) -> list[str]:
    try:
        await check_nothing_half_written(course)
    except (AssertionError, ValueError) as error:
        return [f"half-written: {str(error)[:300]}"]
    return []


def _figures(course: Course, healthy_after: float) -> tuple[str, int, str, str]:
    outcomes = course.prober.since(course.began_at, course.well_at)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    bad = [outcome.ended_at for outcome in outcomes if not outcome.is_good]
    answers_after = max(0.0, max(bad, default=course.healed_at) - course.healed_at)
    return (
        refusals_in(outcomes),
        len(outcomes),
        f"{slowest.seconds:.1f} ({slowest.kind})",
        f"{answers_after:.1f} / {healthy_after:.1f}",
    )


def refusals_in(outcomes: Collection[Outcome]) -> str:
    """Say which statuses but good ones which kinds of question were answered, and clients' own errors by name."""
    kinds = {outcome.kind for outcome in outcomes}
    by_status: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        if not outcome.is_good:
            by_status.setdefault(str(outcome.status or outcome.body), Counter())[outcome.kind] += 1
    parts = (f"{status}: {_counted(counts, kinds)}" for status, counts in sorted(by_status.items()))
    return "; ".join(parts) or "none"


def _counted(counts: Counter[str], kinds: Collection[str]) -> str:
    if set(counts) == set(kinds):
        return f"everything {counts.total()}"
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def table_of(rows: Collection[Row]) -> str:
    """Return the rows as a Markdown table."""
    head = [
        "| container | fault | not good, of how many answers | slowest (s) | well after (s): answers / health |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(head + [_line(row) for row in rows])


def _line(row: Row) -> str:
    what = f"{row.refusals}, of {row.answers}"
    return f"| {row.container} | {row.fault} | {what} | {row.slowest} | {row.well_after} |"
