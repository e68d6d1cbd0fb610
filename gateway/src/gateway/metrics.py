"""What operators read of the gateway's parts whenever they ask: depths, ages, and what each part counts for itself.

What happens at one place is counted there: requests in `traffic.py`, refusals where they are made.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from chassis.clock import Clock
from chassis.metrics import Values, reading
from gateway.admission import Admission
from gateway.board import Board
from gateway.http_cache import HttpCache
from gateway.limits import Limits
from gateway.security import Verifier
from gateway.stream import Streams
from gateway.traffic import Traffic


@contextmanager
def readings(
    *,
    traffic: Traffic,
    admission: Admission,
    cache: HttpCache,
    board: Board,
    streams: Streams,
    limits: Limits,
    verifier: Verifier,
    clock: Clock,
) -> Iterator[None]:
    """Have the parts read until the block is left."""
    gauges: dict[str, tuple[str, Callable[[], Values]]] = {
        "bourse_http_in_flight": ("Requests being worked on.", lambda: admission.in_flight),
        "bourse_http_places": ("How many requests may be worked on now.", lambda: admission.places),
        "bourse_http_cache_bytes": ("About how much memory kept answers take.", lambda: cache.size_bytes),
        "bourse_http_cache_entries": ("Answers that are kept.", lambda: len(cache)),
        "bourse_http_flights": ("Answers being fetched to be kept.", lambda: cache.flights),
        "bourse_board_instruments": ("Instruments on the board.", lambda: len(board)),
        "bourse_board_tick_age_seconds": (
            "Since when no tick of any instrument has come.",
            lambda: _known(board.last_batch_at and clock.monotonic() - board.last_batch_at),
        ),
        "bourse_streams_open": ("Streams that are open.", lambda: streams.count),
        "bourse_limits_shared": ("Whether limits are counted in Redis: 1 or 0.", lambda: limits.is_shared),
        "bourse_token_keys": ("Keys that tokens may be signed with.", lambda: verifier.key_count),
        "bourse_revocations_age_seconds": (
            "For how long a revocation may have gone unheard.",
            lambda: _known(verifier.revocations_age_seconds),
        ),
    }
    counters: dict[str, tuple[str, Callable[[], Values]]] = {
        "bourse_board_ticks": ("Ticks that came.", lambda: board.ticks),
        "bourse_board_holes": ("Gaps in what publishers sent.", lambda: board.holes),
        "bourse_board_refused": (
            "Ticks without a sound price, or without a place.",
            lambda: board.refused,
        ),
        "bourse_stream_frames_sent": ("Parts of streams that were sent.", lambda: streams.frames_sent),
        "bourse_limits_redis_failures": ("Times that Redis could not be asked.", lambda: limits.redis_failures),
    }
    with ExitStack() as stack:
        for name, (documentation, read) in gauges.items():
            stack.enter_context(reading(name, documentation, read))
        for name, (documentation, read) in counters.items():
            stack.enter_context(reading(name, documentation, read, is_counter=True))
        stack.enter_context(
            reading(
                "bourse_http_requests",
                "Requests that were answered.",
                traffic.requests,
                labels=["route", "method", "status"],
                is_counter=True,
            )
        )
        stack.enter_context(
            reading(
                "bourse_http_cache_requests",
                "Requests for answers that may be kept.",
                lambda: {("hit",): cache.hits, ("stale",): cache.stale, ("miss",): cache.misses},
                labels=["outcome"],
                is_counter=True,
            )
        )
        stack.enter_context(
            reading(
                "bourse_stream_queue_entries",
                "What waits to be sent to all readers together.",
                lambda: {("prices",): streams.waiting_prices, ("alerts",): streams.waiting_alerts},
                labels=["kind"],
            )
        )
        stack.enter_context(
            reading(
                "bourse_token_checks",
                "Access tokens that were looked at.",
                lambda: {(outcome,): count for outcome, count in verifier.checks.items()},
                labels=["outcome"],
                is_counter=True,
            )
        )
        yield


def _known(seconds: float | None) -> Values:
    return {} if seconds is None else seconds
