"""The attack corpus against the verification of our own access tokens: none is accepted."""

import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bourse.auth.v1 import keys_pb2
from chassis.clock import ManualClock
from gateway.errors import ApiError, AuthRequired, TokenExpired, TokenRevoked
from gateway.security import Keyring, Revocations, Verifier
from upstreams.forged_tokens import base64url, compact, hs256, json_bytes, rs256, unsigned
from upstreams.google import ABSENT, GoogleUpstream, rsa_key

KEY_ID = "key-1"
OTHER_KEY_ID = "key-2"
ISSUER, AUDIENCE = "bourse-auth", "bourse"
REFRESH_TOKEN = "Zm9yZ2VkLXJlZnJlc2gtdG9rZW4tb2YtMjU2LWJpdHM"
# RFC 8032, section 5.1: the order of the group that a signature's second half must be below.
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


class Signers:
    """Auth's side: its keys, what it says of them, and what it has revoked."""

    def __init__(self) -> None:
        self.keys = {KEY_ID: Ed25519PrivateKey.generate(), OTHER_KEY_ID: Ed25519PrivateKey.generate()}
        self.stranger = Ed25519PrivateKey.generate()
        self.revocations: list[keys_pb2.Revocation] = []

    async def ListPublicKeys(self, _: Any, **__: float) -> keys_pb2.ListPublicKeysResponse:
        keys = [
            keys_pb2.PublicKey(key_id=name, algorithm="EdDSA", public_key=key.public_key().public_bytes_raw())
            for name, key in self.keys.items()
        ]
        return keys_pb2.ListPublicKeysResponse(keys=keys, issuer=ISSUER, audience=AUDIENCE)

    async def ListRevocations(self, _: Any, **__: float) -> keys_pb2.ListRevocationsResponse:
        return keys_pb2.ListRevocationsResponse(revocations=self.revocations)

    def revoke(self, **subject: str) -> None:
        revocation = keys_pb2.Revocation(**subject)  # type: ignore[arg-type]
        revocation.expires_at.FromSeconds(int(time.time()) + 3600)
        self.revocations.append(revocation)

    def public(self, encoding: Encoding, form: PublicFormat) -> bytes:
        return self.keys[KEY_ID].public_key().public_bytes(encoding, form)


def header(**changes: Any) -> dict[str, Any]:
    said = {"alg": "EdDSA", "kid": KEY_ID, "typ": "JWT", **changes}
    return {name: value for name, value in said.items() if value is not ABSENT}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "42",
        "sid": "session-42",
        "jti": "token-42",
        "typ": "access",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not ABSENT}


def signed(signers: Signers, used_header: Mapping[str, Any] | bytes | None = None, **changes: Any) -> str:
    """Sign with auth's own key, as nobody but auth could."""
    return compact(header() if used_header is None else used_header, claims(**changes), signers.keys[KEY_ID].sign)


def forged(signers: Signers, **changes: Any) -> str:
    """Sign with a stranger's key, as an administrator, under a header of the stranger's choice."""
    return compact(header(**changes), claims(adm=True), signers.stranger.sign)


Attack = Callable[[Signers], str]


def confused(encoding: Encoding, form: PublicFormat, algorithm: str = "HS256") -> Attack:
    """Use the public key, which everybody can have, as the secret of another algorithm."""
    return lambda signers: compact(header(alg=algorithm), claims(), hs256(signers.public(encoding, form)))


def said(**changes: Any) -> Attack:
    return lambda signers: signed(signers, **changes)


def headed(**changes: Any) -> Attack:
    return lambda signers: signed(signers, header(**changes))


def cut(keep: Callable[[str], str]) -> Attack:
    return lambda signers: keep(signed(signers))


def later(name: str, seconds: int) -> Attack:
    return lambda signers: signed(signers, None, **{name: int(time.time()) + seconds})


def later_text(name: str, seconds: int) -> Attack:
    return lambda signers: signed(signers, None, **{name: str(int(time.time()) + seconds)})


def stranger_jwk(signers: Signers) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(signers.stranger.public_key().public_bytes_raw())}


def another_s_payload(signers: Signers) -> str:
    head, _, signature = signed(signers).split(".")
    return f"{head}.{signed(signers, sub='1').split('.')[1]}.{signature}"


def with_admin(signers: Signers) -> str:
    head, _, signature = signed(signers).split(".")
    return f"{head}.{base64url(json_bytes(claims(adm=True)))}.{signature}"


def other_header(name: str) -> Attack:
    def attack(signers: Signers) -> str:
        _, payload, signature = signed(signers).split(".")
        head = f'{{"alg":"{name}","alg":"EdDSA","kid":"{KEY_ID}","typ":"JWT"}}'
        return f"{base64url(head.encode())}.{payload}.{signature}"

    return attack


def repeated(name: str, value: str) -> Attack:
    def attack(signers: Signers) -> str:
        head, _, signature = signed(signers).split(".")
        payload = b'{"%s":%s,' % (name.encode(), value.encode()) + json_bytes(claims())[1:]
        return f"{head}.{base64url(payload)}.{signature}"

    return attack


def second_signature(signers: Signers) -> str:
    """Write the same signature with another number that is congruent to its second half."""

    def sign(message: bytes) -> bytes:
        signature = signers.keys[KEY_ID].sign(message)
        half = int.from_bytes(signature[32:], "little") + GROUP_ORDER
        return signature[:32] + half.to_bytes(32, "little")

    return compact(header(), claims(), sign)


def under_another_kid(signers: Signers) -> str:
    return compact(header(kid=OTHER_KEY_ID), claims(), signers.keys[KEY_ID].sign)


def es256(signers: Signers) -> str:
    return jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": KEY_ID})


def id_token(signers: Signers) -> str:
    return GoogleUpstream(AUDIENCE).id_token(iss=ISSUER, sid="s", jti="j", typ="access", nbf=1, headers={"kid": KEY_ID})


ATTACKS: dict[str, Attack] = {
    # Not signed, or by another algorithm.
    "alg none": lambda _: compact(header(alg="none"), claims(), unsigned),
    "alg None": lambda _: compact(header(alg="None"), claims(), unsigned),
    "alg none with a signature": headed(alg="none"),
    "alg none without kid": lambda _: compact({"alg": "none"}, claims(), unsigned),
    "alg empty": headed(alg=""),
    "alg absent": headed(alg=ABSENT),
    "alg null": headed(alg=None),
    "alg a list": headed(alg=["EdDSA"]),
    "alg eddsa": headed(alg="eddsa"),
    "EdDSA without a signature": lambda _: compact(header(), claims(), unsigned),
    "EdDSA with zeros": lambda _: compact(header(), claims(), lambda _: bytes(64)),
    "HS256 with an empty secret": lambda _: compact(header(alg="HS256"), claims(), hs256(b"")),
    "RS256": lambda _: compact(header(alg="RS256"), claims(), rs256(rsa_key(1))),
    "RS256 named EdDSA": lambda _: compact(header(), claims(), rs256(rsa_key(1))),
    "ES256": es256,
    # The public key as a secret.
    "HS256 with the public key, raw": confused(Encoding.Raw, PublicFormat.Raw),
    "HS256 with the public key, PEM": confused(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "HS256 with the public key, DER": confused(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "HS256 with the public key, named EdDSA": confused(Encoding.Raw, PublicFormat.Raw, "EdDSA"),
    # Another key.
    "a stranger's key under our kid": forged,
    "a stranger's key under its own kid": lambda signers: forged(signers, kid="stranger"),
    "kid absent": headed(kid=ABSENT),
    "kid empty": headed(kid=""),
    "kid null": headed(kid=None),
    "kid a number": headed(kid=1),
    "kid an object": headed(kid={"a": 1}),
    "kid too long": headed(kid="k" * 256),
    "kid a path": lambda signers: forged(signers, kid="../../../../dev/null"),
    "kid an injection": lambda signers: forged(signers, kid="' UNION SELECT 'secret'--"),
    "kid of another of our keys": under_another_kid,
    # Keys the token brings along or points at.
    "embedded jwk": lambda signers: forged(signers, jwk=stranger_jwk(signers)),
    "embedded jwk without kid": lambda signers: forged(signers, kid=ABSENT, jwk=stranger_jwk(signers)),
    "jku": lambda signers: forged(signers, jku="http://127.0.0.1:9/keys"),
    "x5u": lambda signers: forged(signers, x5u="http://127.0.0.1:9/chain.pem"),
    "x5c": lambda signers: forged(signers, x5c=["MIIB"]),
    # What must be understood and is not.
    "crit of something unknown": headed(crit=["urn:understand"], **{"urn:understand": 1}),
    "crit of exp": headed(crit=["exp"], exp=9_999_999_999),
    "crit empty": headed(crit=[]),
    "crit no list": headed(crit="b64"),
    "b64 false": headed(b64=False, crit=["b64"]),
    # Time.
    "not yet valid": later("nbf", 60),
    "issued in the future": later("iat", 60),
    "exp absent": said(exp=ABSENT),
    "exp null": said(exp=None),
    "exp a text": said(exp="soon"),
    "exp a number as a text": later_text("exp", 3600),
    "exp with a fraction": said(exp=9_999_999_999.5),
    "exp a list": said(exp=[9_999_999_999]),
    "exp an object": said(exp={"at": 9_999_999_999}),
    "exp infinite": said(exp=float("inf")),
    "exp no number": said(exp=float("nan")),
    "exp beyond the calendar": said(exp=10**12),
    "exp beyond any clock": said(exp=10**40),
    "iat a number as a text": later_text("iat", 0),
    "iat a list": said(iat=[1]),
    "iat infinite": said(iat=float("-inf")),
    "nbf a number as a text": later_text("nbf", 0),
    "nbf a list": said(nbf=[1]),
    "nbf with a fraction": said(nbf=1.5),
    "nbf true": said(nbf=True),
    "iat absent": said(iat=ABSENT),
    "nbf absent": said(nbf=ABSENT),
    # For others, by others, of another kind.
    "another audience": said(aud="somebody"),
    "audience absent": said(aud=ABSENT),
    "another issuer": said(iss="somebody"),
    "issuer absent": said(iss=ABSENT),
    "issuer of Google": said(iss="https://accounts.google.com"),
    "typ refresh": said(typ="refresh"),
    "typ absent": said(typ=ABSENT),
    "typ in capitals": said(typ="ACCESS"),
    "typ a list": said(typ=["access"]),
    "a refresh token": lambda _: REFRESH_TOKEN,
    "an ID token of Google": id_token,
    # About whom.
    "sub absent": said(sub=ABSENT),
    "sub empty": said(sub=""),
    "sub a number": said(sub=42),
    "sub a list": said(sub=["42"]),
    "sid absent": said(sid=ABSENT),
    "sid empty": said(sid=""),
    "sid a number": said(sid=1),
    "jti absent": said(jti=ABSENT),
    "jti empty": said(jti=""),
    "jti a number": said(jti=1),
    # A good token, maltreated.
    "nothing": lambda _: "",
    "no token": lambda _: "a.b.c",
    "dots": lambda _: "..",
    "without its signature": cut(lambda token: token.rpartition(".")[0]),
    "with an empty signature": cut(lambda token: token.rpartition(".")[0] + "."),
    "truncated by a character": cut(lambda token: token[:-1]),
    "truncated by half": cut(lambda token: token[: len(token) // 2]),
    "with a fourth segment": cut(lambda token: f"{token}.e30"),
    "with blanks around": cut(lambda token: f" {token} "),
    "with a line's end": cut(lambda token: f"{token}\n"),
    "with a NUL": cut(lambda token: f"{token}\x00"),
    "as a bearer": cut(lambda token: f"Bearer {token}"),
    "the same signature written otherwise": second_signature,
    "another user's payload under its signature": another_s_payload,
    "an administrator's claim under its signature": with_admin,
    "oversized": said(name="x" * 4_000),
    "oversized by far": lambda _: "a." * 500_000,
    "deeply nested": lambda _: compact(b"[" * 1_400 + b"]" * 1_400, claims(), unsigned),
    "header a list": lambda signers: signed(signers, b'["EdDSA"]'),
    "payload a list": lambda signers: compact(header(), b"[]", signers.keys[KEY_ID].sign),
    "payload no JSON": lambda signers: compact(header(), b"sub=1", signers.keys[KEY_ID].sign),
    "payload not UTF-8": lambda signers: compact(header(), b'{"sub":"\xff"}', signers.keys[KEY_ID].sign),
    # Names said twice, under the signature of a good token.
    "alg twice": other_header("none"),
    "sub twice": repeated("sub", '"1"'),
    "exp twice": repeated("exp", "9999999999"),
    "adm twice": repeated("adm", "true"),
}

EXPIRED: dict[str, Attack] = {
    "expired": later("exp", -60),
    "expired an epoch ago": said(iat=1, nbf=1, exp=2),
    "expired, by a truth that counts as 1": said(exp=True),
    "expired, as an administrator": lambda signers: signed(signers, exp=int(time.time()) - 60, adm=True),
}

REVOKED: dict[str, dict[str, str]] = {
    "revoked token": {"token_id": "token-42"},
    "revoked session": {"session_id": "session-42"},
    "revoked user": {"user_id": "42"},
}


@pytest.fixture
def signers() -> Signers:
    return Signers()


async def verifier_of(signers: Signers) -> Verifier:
    clock = ManualClock(datetime.now(UTC))
    stub: Any = signers
    keyring, revocations = Keyring(stub, clock), Revocations(stub, clock)
    await keyring.read()
    await revocations.read()
    return Verifier(keyring, revocations, clock, tokens_kept=10, max_blind_seconds=30)


async def refusal(verifier: Verifier, token: str) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await verifier.verify(token)
    assert verifier.recall(token) is None
    told = "".join(traceback.format_exception(refused.value))
    assert not [piece for piece in token.split(".") if len(piece) > 20 and piece in told]
    return refused.value


async def test_a_good_token_is_accepted(signers: Signers) -> None:
    caller = await (await verifier_of(signers)).verify(signed(signers))
    assert (caller.user_id, caller.is_admin) == ("42", False)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_no_attack_is_accepted(signers: Signers, attack: Attack) -> None:
    verifier = await verifier_of(signers)
    await verifier.verify(signed(signers))
    assert isinstance(await refusal(verifier, attack(signers)), AuthRequired)


@pytest.mark.parametrize("attack", EXPIRED.values(), ids=EXPIRED)
async def test_no_expired_token_is_accepted(signers: Signers, attack: Attack) -> None:
    assert isinstance(await refusal(await verifier_of(signers), attack(signers)), TokenExpired)


@pytest.mark.parametrize("subject", REVOKED.values(), ids=REVOKED)
async def test_no_revoked_token_is_accepted(signers: Signers, subject: dict[str, str]) -> None:
    signers.revoke(**subject)
    assert isinstance(await refusal(await verifier_of(signers), signed(signers)), TokenRevoked)


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(ATTACKS) + len(EXPIRED) + len(REVOKED) >= 100
