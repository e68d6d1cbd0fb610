"""Who may log in to the stand-in of Kite, with what, and what they hold."""

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Any

Row = dict[str, Any]
TOKEN_LETTERS = string.ascii_letters + string.digits
TOKEN_LENGTH = 32


def random_token() -> str:
    """Return what Kite's tokens look like."""
    return "".join(secrets.choice(TOKEN_LETTERS) for _ in range(TOKEN_LENGTH))


class KiteRefused(Exception):
    """Kite's answer to bad credentials: an HTTP status, an error_type and a message."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


@dataclass(slots=True)
class KiteAccount:
    """One user of Kite with an app's key; rows may be changed at any time.

    Attributes:
        api_key: identifies the app.
        api_secret: proves it.
        user_id: Zerodha's client id.
        holdings: what `/portfolio/holdings` answers.
        net: what `/portfolio/positions` answers as `net`.
        day: and as `day`.
        token_prefix: when set, any request_token that starts so works, once.
    """

    api_key: str = field(default_factory=lambda: secrets.token_hex(8))
    api_secret: str = field(default_factory=random_token)
    user_id: str = "AB1234"
    holdings: list[Row] = field(default_factory=list)
    net: list[Row] = field(default_factory=list)
    day: list[Row] = field(default_factory=list)
    token_prefix: str | None = None
    access_tokens: set[str] = field(default_factory=set)
    _unspent: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)

    def new_request_token(self) -> str:
        """Do what a login in the browser does: return a token that works once."""
        token = random_token()
        self._unspent.add(token)
        return token

    def new_access_token(self) -> str:
        """Open a session without a login; for tests that begin after it."""
        token = random_token()
        self.access_tokens.add(token)
        return token

    def expire_tokens(self) -> None:
        """Let all sessions die, as at 06:00 IST or by a login elsewhere."""
        self.access_tokens.clear()

    def spend(self, request_token: str) -> bool:
        """Use a request_token up; say whether it was good."""
        is_of_prefix = self.token_prefix is not None and request_token.startswith(self.token_prefix)
        is_good = request_token in self._unspent or (is_of_prefix and request_token not in self._spent)
        self._unspent.discard(request_token)
        self._spent.add(request_token)
        return is_good

    def is_checksum(self, checksum: str, request_token: str) -> bool:
        """Say whether a checksum proves the secret."""
        proof = sha256(f"{self.api_key}{request_token}{self.api_secret}".encode()).hexdigest()
        return compare_digest(proof.encode(), checksum.encode())


class KiteAccounts:
    """All accounts by api_key, shared by the REST server and the ticker."""

    def __init__(self, accounts: Iterable[KiteAccount]) -> None:
        self._by_key = {account.api_key: account for account in accounts}

    def add(self, account: KiteAccount) -> KiteAccount:
        """Open an account."""
        self._by_key[account.api_key] = account
        return account

    def exchange(self, api_key: str, request_token: str, checksum: str) -> tuple[KiteAccount, str]:
        """Turn a request_token into a session; return whose, and its access_token.

        Raises:
            KiteRefused: the key is unknown, the checksum wrong, or the token used, expired or never issued.
        """
        account = self._by_key.get(api_key)
        if account is None:
            raise KiteRefused(400, "InputException", "Invalid `api_key`.")
        if not account.is_checksum(checksum, request_token):
            raise KiteRefused(403, "TokenException", "Invalid `checksum`.")
        if not account.spend(request_token):
            raise KiteRefused(403, "TokenException", "Token is invalid or has expired.")
        return account, account.new_access_token()

    def close(self, api_key: str, access_token: str) -> None:
        """End a session.

        Raises:
            KiteRefused: there is none.
        """
        self.of_session(api_key, access_token).access_tokens.discard(access_token)

    def of_session(self, api_key: str, access_token: str) -> KiteAccount:
        """Return whose session it is.

        Raises:
            KiteRefused: nobody's.
        """
        account = self._by_key.get(api_key)
        if account is None or access_token not in account.access_tokens:
            raise KiteRefused(403, "TokenException", "Incorrect `api_key` or `access_token`.")
        return account
