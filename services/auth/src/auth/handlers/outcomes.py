"""What became of those who wanted in."""

from collections.abc import Iterator
from contextlib import contextmanager

from auth.domain.sessions import RefreshTokenReused
from chassis.errors import Code, ServiceError
from chassis.metrics import Counter, counter

OK, REFUSED, THROTTLED, UNAVAILABLE, REUSED = "ok", "refused", "throttled", "unavailable", "reused"
METHODS = ("password", "google")

SIGN_INS = counter("bourse_auth_sign_ins", "Attempts to sign in, by what became of them.", ["method", "outcome"])
REGISTRATIONS = counter("bourse_auth_registrations", "Attempts to register, by what became of them.", ["outcome"])
REFRESHES = counter("bourse_auth_refreshes", "Refresh tokens presented, by what became of them.", ["outcome"])

# A counter that is not there before its first event shows no increase with it.
for outcome in (OK, REFUSED, THROTTLED, UNAVAILABLE):
    REGISTRATIONS.labels(outcome)
    for method in METHODS:
        SIGN_INS.labels(method, outcome)
for outcome in (OK, REFUSED, REUSED, UNAVAILABLE):
    REFRESHES.labels(outcome)


@contextmanager
def counting(attempts: Counter, *labels: str) -> Iterator[None]:
    """Count what becomes of an attempt in the block; `labels` are those before its outcome."""
    try:
        yield
    except ServiceError as error:
        attempts.labels(*labels, _outcome_of(error)).inc()
        raise
    attempts.labels(*labels, OK).inc()


def _outcome_of(error: ServiceError) -> str:
    if isinstance(error, RefreshTokenReused):
        return REUSED
    return {Code.RESOURCE_EXHAUSTED: THROTTLED, Code.UNAVAILABLE: UNAVAILABLE}.get(error.code, REFUSED)
