"""How sources fail, said so that callers can be told."""

from collections.abc import Sequence

from chassis.errors import Code, ServiceError
from market.domain.breaker import REST_SECONDS

SILENT = "did not answer"


class SourcesMixed(ValueError):
    """Real and simulated sources were put in one list."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"real and simulated sources cannot stand in for each other: {', '.join(names)}")


class SourceRefused(Exception):
    """A source says why it does not answer.

    Attributes:
        problem: the rest of a sentence that begins with the source's name, fit for callers.
        retry_after_seconds: when asking again may succeed; None when it does not say.
        is_of_capability: only this kind of question is refused, as by a plan that lacks it; others are still asked.
        opens_at_once: asking again before `retry_after_seconds` would make it worse, as after a rate limit, so that the
            source is left alone from the first time on, and for that long.
    """

    def __init__(
        self,
        problem: str,
        *,
        retry_after_seconds: float | None = None,
        is_of_capability: bool = False,
        opens_at_once: bool = False,
    ) -> None:
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        self.is_of_capability = is_of_capability
        self.opens_at_once = opens_at_once
        super().__init__(problem)


class SourceFailed(Exception):
    """One source did not answer, or is being left alone."""

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"the source {source} {problem}")


class SourcesUnavailable(ServiceError):
    """No source that may know answers, and nothing that was kept serves."""

    code = Code.UNAVAILABLE
    reason = "SOURCES_UNAVAILABLE"
    retry_after_seconds = REST_SECONDS

    def __init__(self, failures: Sequence[SourceFailed], *, wanted: str = "prices") -> None:
        self.failures = tuple(failures)
        told = ", ".join(f"{each.source} {each.problem}" for each in failures)
        super().__init__(f"no source of {wanted} is answering: {told}; try again shortly")
