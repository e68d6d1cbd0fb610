"""Reads from a suite's outbox the tokens that people get by mail."""

import re
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

SECONDS = 15.0


class NoMail(RuntimeError):
    """What was to be sent did not come."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no mail with a token to {what}")


def token_to(what: str, run_dir: Path, email: str) -> str:
    """Wait for a mail with a link `#<what>=<token>` to an address and return the token.

    Raises:
        NoMail: none came.
    """
    wanted = re.compile(rf"#{what}=([\w-]+)")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for message in _mails_to(run_dir, email):
            body = message.get_body(("plain",))
            found = wanted.search(str(body.get_content())) if body is not None else None
            if found is not None:
                return found[1]
        time.sleep(0.1)
    raise NoMail(what)


def _mails_to(run_dir: Path, email: str) -> Iterator[EmailMessage]:
    for path in (run_dir / "outbox").glob("*.eml"):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        if isinstance(message, EmailMessage) and email in message["To"]:
            yield message
