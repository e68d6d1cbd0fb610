"""Google's sign-in as a server of its own: it publishes keys, rotates them, and signs ID tokens.

    with google_server() as google:
        GoogleKeys.open(KeyAddress(google.jwks_url).fetch, ...)
        token = google.upstream.id_token(sub="110169484474386276334")
        google.faults.next("/certs", Fault.hang())

Tokens are made as Google makes them; what is wrong with one is asked for claim by claim, or built in `google_attacks`.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from upstreams.faults import Faults
from upstreams.journal import Journal
from upstreams.serving import LoopbackServer
from upstreams.upstream import Call, Upstream

JWKS_PATH = "/oauth2/v3/certs"
DISCOVERY_PATH = "/.well-known/openid-configuration"
ISSUER = "https://accounts.google.com"
CLIENT_ID = "407408718192-loopback.apps.googleusercontent.com"
SUBJECT = "110169484474386276334"
ALGORITHM = "RS256"
LIFETIME_SECONDS = 3_600
KEY_BITS = 2_048
ABSENT = ...


@cache
def rsa_key(number: int) -> RSAPrivateKey:
    """Return one of this process's keys; making one takes long enough to make each once."""
    del number
    return generate_private_key(public_exponent=65_537, key_size=KEY_BITS)


class GoogleUpstream(Upstream):
    """Google's keys and the ID tokens signed with them.

    Attributes:
        cache_control: the header that keys are answered with; None leaves it out.
        age: the header of a cache on the way; None leaves it out.
    """

    def __init__(self, client_id: str = CLIENT_ID, now: Callable[[], float] = time.time) -> None:
        self.client_id = client_id
        self.cache_control: str | None = f"public, max-age={LIFETIME_SECONDS}, must-revalidate, no-transform"
        self.age: str | None = None
        self._now = now
        self._keys: Mapping[str, RSAPrivateKey] = {}
        self._made = 0
        self._changing = threading.Lock()
        self.rotate()
        routes = [Route(JWKS_PATH, self._jwks), Route(DISCOVERY_PATH, self._discovery)]
        super().__init__(Starlette(routes=routes))

    def api_key_of(self, call: Call) -> str | None:
        """Return None: Google's keys are everybody's."""
        return None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of the published keys, the one that signs last."""
        return tuple(self._keys)

    def private_key(self, key_id: str | None = None) -> RSAPrivateKey:
        """Return a published key, the one that signs unless told another."""
        return self._keys[key_id or self.key_ids[-1]]

    def rotate(self) -> str:
        """Sign with a new key from now on, publish it beside the others, and return its id."""
        with self._changing:
            self._made += 1
            key_id = f"{self._made:040x}"
            self._keys = {**self._keys, key_id: rsa_key(self._made)}
            return key_id

    def withdraw(self, key_id: str) -> None:
        """Publish a key no longer."""
        with self._changing:
            self._keys = {name: key for name, key in self._keys.items() if name != key_id}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token with some changed, or left out where a change is `ABSENT`."""
        now = int(self._now())
        said = {
            "iss": ISSUER,
            "azp": self.client_id,
            "aud": self.client_id,
            "sub": SUBJECT,
            "email": "asha@example.com",
            "email_verified": True,
            "name": "Asha Rao",
            "picture": "https://lh3.example.com/a/asha=s96-c",
            "given_name": "Asha",
            "family_name": "Rao",
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            **changes,
        }
        return {name: value for name, value in said.items() if value is not ABSENT}

    def id_token(self, *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """Sign a token with the newest key; its claims as of `claims`, its header with some entries changed."""
        key_id = self.key_ids[-1]
        return jwt.encode(
            self.claims(**changes), self._keys[key_id], algorithm=ALGORITHM, headers={"kid": key_id, **(headers or {})}
        )

    async def _jwks(self, _: Request) -> Response:
        keys = [
            {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", "alg": ALGORITHM}
            for key_id, key in self._keys.items()
        ]
        for key in keys:
            key.pop("key_ops", None)
        headers = {"Cache-Control": self.cache_control, "Age": self.age}
        given = {name: value for name, value in headers.items() if value is not None}
        return Response(json.dumps({"keys": keys}, indent=2), media_type="application/json", headers=given)

    async def _discovery(self, request: Request) -> Response:
        own = str(request.base_url).rstrip("/")
        return JSONResponse(
            {
                "issuer": ISSUER,
                "jwks_uri": own + JWKS_PATH,
                "response_types_supported": ["code", "token", "id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "claims_supported": ["aud", "email", "email_verified", "exp", "iat", "iss", "name", "picture", "sub"],
            }
        )


@dataclass(frozen=True, slots=True)
class RunningGoogle:
    """Google on a port; `jwks_url` is what GOOGLE_JWKS_URL takes, `client_id` what GOOGLE_CLIENT_ID does."""

    upstream: GoogleUpstream
    server: LoopbackServer
    url: str
    jwks_url: str
    client_id: str
    faults: Faults
    journal: Journal


@contextmanager
def google_server(*, client_id: str = CLIENT_ID, port: int | None = None) -> Iterator[RunningGoogle]:
    """Run it, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    upstream = GoogleUpstream(client_id)
    server = LoopbackServer(upstream, upstream, port=port)
    server.start()
    try:
        jwks_url = server.url + JWKS_PATH
        yield RunningGoogle(upstream, server, server.url, jwks_url, client_id, upstream.faults, upstream.journal)
    finally:
        server.stop()
