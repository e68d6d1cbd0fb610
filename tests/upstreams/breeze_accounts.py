"""Who may log in to the stand-in of Breeze, with what, and what they hold."""

import secrets
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Any

Row = dict[str, Any]


class BreezeRefused(Exception):
    """Breeze's answer to bad credentials: a Status and an Error, in an HTTP answer that is 200."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


@dataclass(slots=True)
class BreezeAccount:
    """One user of Breeze with an app's key; rows may be changed at any time.

    Attributes:
        api_key: identifies the app.
        api_secret: proves it, by the checksum of every call.
        user_id: ICICI's.
        holdings: what `portfolioholdings` answers, each row under its exchange_code.
        demat: what `dematholdings` answers.
        positions: what `portfoliopositions` answers.
        api_session_prefix: when set, any api_session that starts so works, once.
        answers_empty_lists: whether no rows are `[]` rather than an Error of "No Data Found".
    """

    api_key: str = field(default_factory=lambda: secrets.token_hex(16))
    api_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    user_id: str = "DEMOUSER"
    holdings: list[Row] = field(default_factory=list)
    demat: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    api_session_prefix: str | None = None
    answers_empty_lists: bool = False
    session_keys: set[str] = field(default_factory=set)
    _unspent: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)

    def new_api_session(self) -> str:
        """Do what a login in the browser does: return a code that works once."""
        code = str(10_000_000 + secrets.randbelow(90_000_000))
        self._unspent.add(code)
        return code

    def new_session_key(self) -> str:
        """Open a session without a login; for tests that begin after it."""
        key = str(10_000_000 + secrets.randbelow(90_000_000))
        self.session_keys.add(key)
        return key

    def session_token(self, session_key: str) -> str:
        """Return a session's token as it travels."""
        return b64encode(f"{self.user_id}:{session_key}".encode()).decode()

    def expire_sessions(self) -> None:
        """Let all sessions die, as at midnight."""
        self.session_keys.clear()

    def spend(self, api_session: str) -> None:
        """Use an api_session up.

        Raises:
            BreezeRefused: it was used before, or never issued.
        """
        if api_session in self._spent:
            raise BreezeRefused(500, "Resource not available.")
        is_of_prefix = self.api_session_prefix is not None and api_session.startswith(self.api_session_prefix)
        if api_session not in self._unspent and not is_of_prefix:
            raise BreezeRefused(500, "Invalid session.")
        self._unspent.discard(api_session)
        self._spent.add(api_session)


class BreezeAccounts:
    """All accounts by api_key."""

    def __init__(self, accounts: Iterable[BreezeAccount]) -> None:
        self._by_key = {account.api_key: account for account in accounts}

    def add(self, account: BreezeAccount) -> BreezeAccount:
        """Open an account."""
        self._by_key[account.api_key] = account
        return account

    def of_key(self, api_key: str) -> BreezeAccount:
        """Return whose key it is.

        Raises:
            BreezeRefused: nobody's.
        """
        account = self._by_key.get(api_key)
        if account is None:
            raise BreezeRefused(500, "Public Key does not exist.")
        return account

    def of_session(self, api_key: str, session_token: str) -> BreezeAccount:
        """Return whose session it is.

        Raises:
            BreezeRefused: nobody's.
        """
        account = self.of_key(api_key)
        try:
            user_id, _, session_key = b64decode(session_token, validate=True).decode().partition(":")
        except (NotBase64, UnicodeDecodeError) as error:
            raise BreezeRefused(401, "Invalid session.") from error
        if user_id != account.user_id or session_key not in account.session_keys:
            raise BreezeRefused(401, "Resource not available.")
        return account


def is_checksum(account: BreezeAccount, checksum: str, *, timestamp: str, body: bytes) -> bool:
    """Say whether an X-Checksum proves the secret: `token ` and the SHA-256 of timestamp + body + secret."""
    proof = sha256(timestamp.encode() + body + account.api_secret.encode()).hexdigest()
    return compare_digest(f"token {proof}".encode(), checksum.encode())
