"""Stand-ins of Zerodha, ICICI and Google for the whole suite, and the credentials that they are sent."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from upstreams.breeze_accounts import BreezeAccount
from upstreams.google import RunningGoogle, google_server
from upstreams.kite_accounts import KiteAccount
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server
from upstreams.servers import RunningBrokers, brokers_server

SYNC_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Vendors:
    """Both brokers and Google on loopback, and the admin secret that opens ICICI's server-wide session.

    Zerodha's has none configured, so that only an administrator's token opens it.
    """

    rest: RunningBrokers
    ticker: KiteTickerServer
    google: RunningGoogle
    icici_secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def environment(self) -> Mapping[str, str]:
        """Return how brokers and auth are told of them."""
        return {
            "KITE_ROOT_URL": self.rest.url,
            "KITE_TICKER_URL": self.ticker.url,
            "BREEZE_ROOT_URL": self.rest.url,
            "BROKERS_SANDBOX_URL": "",
            "BROKERS_SYNC_SECONDS": str(SYNC_SECONDS),
            "ICICI_ADMIN_SECRET": self.icici_secret,
            "GOOGLE_CLIENT_ID": self.google.client_id,
            "GOOGLE_JWKS_URL": self.google.jwks_url,
        }

    def open_zerodha(self, **fields: Any) -> KiteAccount:
        """Open an account at Zerodha."""
        return self.rest.kite.accounts.add(KiteAccount(**fields))

    def open_icici(self, **fields: Any) -> BreezeAccount:
        """Open an account at ICICI Direct."""
        return self.rest.breeze.accounts.add(BreezeAccount(**fields))


def zerodha_body(account: KiteAccount) -> dict[str, str]:
    """Return the documented body of a sync, with a request_token as fresh as from the browser."""
    token = account.new_request_token()
    return {"api_key": account.api_key, "api_secret": account.api_secret, "request_token": token}


def checksum_body(account: KiteAccount) -> dict[str, str]:
    """Return the body that does not reveal the secret."""
    token = account.new_request_token()
    checksum = sha256(f"{account.api_key}{token}{account.api_secret}".encode()).hexdigest()
    return {"api_key": account.api_key, "checksum": checksum, "request_token": token}


def icici_body(account: BreezeAccount) -> dict[str, str]:
    """Return the documented body of a sync, with an api_session as fresh as from the browser."""
    session = account.new_api_session()
    return {"api_key": account.api_key, "api_secret": account.api_secret, "api_session": session}


@contextmanager
def running_vendors() -> Iterator[Vendors]:
    """Run all until the block is left."""
    with brokers_server() as rest, kite_ticker_server(rest.kite.accounts) as ticker, google_server() as google:
        yield Vendors(rest, ticker, google)
