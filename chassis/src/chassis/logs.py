"""Structured logs on standard error, each record with the request id, none with a secret."""

import logging
import re
import sys
import time
from contextvars import ContextVar
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="-")

# A quoted value goes up to its own quote, which a JSON record writes with a backslash where it quotes a message.
_SECRET = re.compile(
    r"""(?ix)
    \b((?:\w+[_-])?(?:api[_-]?key|api[_-]?session|signing[_-]?key|secret|token(?:_cookie)?|password(?:_hash)?)
      |enctoken|checksum|crumb|authorization)
    (\\?["']?\s*[:=]\s*)
    (?:(\\?["'])(?:(?!\3)(?:\\.|[^\\\n]))+|(?:(?:bearer|token|basic)\s+)?[^\s"',&;})\\]+)
    """
)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_URL_CREDENTIALS = re.compile(r"""(?<=://)(?:(?!,\w+://)[^\s"']){1,512}(?=@)""")
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request_id",
    "service",
    "taskName",
    # uvicorn says some records twice, the second time in colour.
    "color_message",
}


def redact(text: str) -> str:
    """Return `text` with everything that looks like a credential replaced."""
    text = _SECRET.sub(r"\1\2\3[redacted]", text)
    text = _URL_CREDENTIALS.sub("[redacted]", text)
    return _JWT.sub("[redacted]", text)


class _ContextFilter(logging.Filter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        record.request_id = request_id.get()
        return True


class _UtcTimes(logging.Formatter):
    """Times in UTC that say so."""

    converter = time.gmtime  # type: ignore[assignment]  # a builtin is not bound, whatever the stubs say
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _RedactingJsonFormatter(_UtcTimes, JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _ConsoleFormatter(_UtcTimes):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extra = [f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD_FIELDS]
        first, newline, rest = line.partition("\n")
        return redact(" ".join([first, *extra]) + newline + rest)


def configure_logging(service: str, *, style: Literal["console", "json"], level: str) -> None:
    """Send all records of this process to standard error in one style, replacing earlier handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_ContextFilter(service))
    if style == "json":
        names = ["asctime", "levelname", "service", "name", "message", "request_id"]
        handler.setFormatter(_RedactingJsonFormatter(names, style=",", rename_fields={"levelname": "level"}))
    else:
        handler.setFormatter(_ConsoleFormatter("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Third parties speak at INFO about every call, with addresses that can hold keys.
    for noisy in ("httpx", "httpcore", "nats", "alembic", "urllib3", "asyncio", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
