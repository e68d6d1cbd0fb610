"""One connection to Kite's ticker that is made again whenever it is lost, until its token dies.

Its address holds the token, so nothing here, and no logger of the library, ever writes it down.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from brokers.domain.feed_watch import LinkReport
from brokers.domain.secrets import Secret
from chassis.clock import Clock
from chassis.metrics import counter

log = logging.getLogger(__name__)

_CONNECTIONS = counter("bourse_brokers_ticker_connections", "Connections to Kite's ticker that were made.")
_LOSSES = counter("bourse_brokers_ticker_losses", "Connections to Kite's ticker that were lost or refused.", ["cause"])
_REFUSED, _LOST, _FAILED = (_LOSSES.labels(cause) for cause in ("refused", "lost", "failed"))

TOKENS_PER_MESSAGE = 500
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
MAX_QUEUED_MESSAGES = 64
REFUSALS = (401, 403)
HEADERS = {"X-Kite-Version": "3"}
_LARGEST_DOUBLING = 10

Receive = Callable[[bytes, datetime], bool]


class TokenRefused(Exception):
    """Kite did not take the session's token."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}")


class LinkSilent(Exception):
    """Neither a price nor a heartbeat came for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing came for {seconds:g} s")


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """How long a connection waits for what, in seconds.

    Attributes:
        open_seconds: for the handshake, and for each message that is sent.
        silence_seconds: for anything to come; Kite sends a heartbeat each second.
        close_seconds: for a goodbye.
        first_retry_seconds: before the second attempt, doubled for each further one.
        longest_retry_seconds: between two attempts.
        settled_seconds: after so long connected the first retry is soon again.
    """

    open_seconds: float = 10.0
    silence_seconds: float = 5.0
    close_seconds: float = 1.0
    first_retry_seconds: float = 0.5
    longest_retry_seconds: float = 30.0
    settled_seconds: float = 30.0


class _Connect(connect):
    """Follows no redirect: the token is for the one address it is meant for."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _silent_logger() -> logging.Logger:
    """Return a logger that no configuration reaches: at DEBUG the library writes the address with the token."""
    logger = logging.Logger("kite.wire", logging.CRITICAL + 1)  # noqa: LOG001  # one of logging's own could be set
    logger.addHandler(logging.NullHandler())
    return logger


class KiteLink:
    """Keeps one connection and its subscriptions.

    Args:
        address: the whole address, with key and token.
        tokens: what to subscribe to, in full mode.
        receive: takes each binary message and when it came, and says whether it held a price.
        clock: what the time is.
        timing: how long to wait for what.
        random: draws from 0 to 1, so that not all clients of a lost server come back at once.
    """

    def __init__(
        self,
        address: Secret,
        tokens: Sequence[int],
        receive: Receive,
        *,
        clock: Clock,
        timing: LinkTiming,
        random: Callable[[], float],
    ) -> None:
        self._address = address
        # The system's authorities, or those of SSL_CERT_FILE; certificate and name are verified.
        self._tls = ssl.create_default_context() if address.reveal().startswith("wss://") else None
        self._tokens = tokens
        self._receive = receive
        self._clock = clock
        self._timing = timing
        self._random = random
        self._connected_at: datetime | None = None
        self._last_price_at: datetime | None = None
        self._is_to_reconnect = False

    def reconnect(self) -> None:
        """Connect and subscribe anew after the next message; Kite may have forgotten what this connection asked for."""
        self._is_to_reconnect = True

    @property
    def subscribed(self) -> int:
        """Return how many instruments are subscribed to; none while it is not connected."""
        return 0 if self._connected_at is None else len(self._tokens)

    @property
    def report(self) -> LinkReport:
        """Return how the connection stands."""
        return LinkReport(self._connected_at, self._last_price_at)

    async def run(self, until: datetime) -> None:
        """Stay connected until the token dies by the clock.

        Raises:
            TokenRefused: Kite says that it is dead already.
        """
        failures = 0
        while self._clock.now() < until:
            began = self._clock.monotonic()
            await self._connect_once()
            is_settled = self._clock.monotonic() - began >= self._timing.settled_seconds
            failures = 1 if is_settled else failures + 1
            await self._clock.sleep(self._retry_seconds(failures))

    async def _connect_once(self) -> None:
        try:
            await self._converse()
        except InvalidStatus as error:
            _REFUSED.inc()
            status = error.response.status_code
            if status in REFUSALS:
                raise TokenRefused(status) from None
            log.warning("kite refused the connection", extra={"status": status})
        except (WebSocketException, OSError, LinkSilent) as error:
            _LOST.inc()
            log.warning("kite link lost", extra={"cause": type(error).__name__})
        except Exception:
            _FAILED.inc()
            log.exception("kite link failed")
        finally:
            self._connected_at = None

    async def _converse(self) -> None:
        opening = _Connect(
            self._address.reveal(),
            additional_headers=HEADERS,
            compression=None,
            open_timeout=self._timing.open_seconds,
            close_timeout=self._timing.close_seconds,
            # Kite's heartbeats say more than an answered ping: that its side of the ticker runs.
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=MAX_QUEUED_MESSAGES,
            logger=_silent_logger(),
            ssl=self._tls,
        )
        async with opening as socket:
            await self._subscribe(socket)
            self._connected_at = self._clock.now()
            _CONNECTIONS.inc()
            self._is_to_reconnect = False
            log.info("kite link connected", extra={"instruments": len(self._tokens)})
            while not self._is_to_reconnect:
                self._take(await self._next_message(socket))

    async def _subscribe(self, socket: ClientConnection) -> None:
        for tokens in _chunks(self._tokens, TOKENS_PER_MESSAGE):
            for message in ({"a": "subscribe", "v": tokens}, {"a": "mode", "v": ["full", tokens]}):
                async with asyncio.timeout(self._timing.open_seconds):
                    await socket.send(json.dumps(message))

    async def _next_message(self, socket: ClientConnection) -> str | bytes:
        try:
            async with asyncio.timeout(self._timing.silence_seconds):
                return await socket.recv()
        except TimeoutError:
            raise LinkSilent(self._timing.silence_seconds) from None

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            _log_errors(message)
            return
        now = self._clock.now()
        if self._receive(message, now):
            self._last_price_at = now

    def _retry_seconds(self, failures: int) -> float:
        doubled = self._timing.first_retry_seconds * 2.0 ** min(failures - 1, _LARGEST_DOUBLING)
        return min(doubled, self._timing.longest_retry_seconds) * (1 + self._random()) / 2


def _chunks(tokens: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (tokens[begin : begin + size] for begin in range(0, len(tokens), size))


def _log_errors(text: str) -> None:
    """Log that Kite complains, without its words; orders and notices are nobody's concern here."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        log.warning("kite sent a text that cannot be read")
        return
    if isinstance(message, dict) and message.get("type") == "error":
        log.warning("kite complained about a message")
