"""ID tokens that must not be accepted, by what is wrong with them; each is made from a running upstream.

@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_...(google, attack): token = attack(google.upstream)
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from upstreams.forged_tokens import compact, hs256, json_bytes, rs256, unsigned
from upstreams.google import ABSENT, ISSUER, SUBJECT, GoogleUpstream, rsa_key

Attack = Callable[[GoogleUpstream], str]

STRANGERS_KEY = -1
DAY_SECONDS = 24 * 3_600


def _header(google: GoogleUpstream, **changes: Any) -> dict[str, Any]:
    said = {"alg": "RS256", "kid": google.key_ids[-1], "typ": "JWT", **changes}
    return {name: value for name, value in said.items() if value is not ABSENT}


def _signed(google: GoogleUpstream, *, header: Mapping[str, Any] | bytes | None = None, **changes: Any) -> str:
    """Sign with Google's own key, as nobody but Google could."""
    used = _header(google) if header is None else header
    return compact(used, google.claims(**changes), rs256(google.private_key()))


def _forged(google: GoogleUpstream, **header: Any) -> str:
    """Sign with a stranger's key, under a header of the stranger's choice."""
    return compact(_header(google, **header), google.claims(), rs256(rsa_key(STRANGERS_KEY)))


def _public_bytes(google: GoogleUpstream, encoding: Encoding, form: PublicFormat) -> bytes:
    return google.private_key().public_key().public_bytes(encoding, form)


def _confused(encoding: Encoding, form: PublicFormat) -> Attack:
    """Use the public key, which everybody knows, as the secret of another algorithm."""
    return lambda google: compact(
        _header(google, alg="HS256"), google.claims(), hs256(_public_bytes(google, encoding, form))
    )


def _confused_modulus(google: GoogleUpstream) -> str:
    jwk = RSAAlgorithm.to_jwk(google.private_key().public_key(), as_dict=True)
    return compact(_header(google, alg="HS256"), google.claims(), hs256(str(jwk["n"]).encode()))


def _hs256_named_rs256(google: GoogleUpstream) -> str:
    public = _public_bytes(google, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return compact(_header(google), google.claims(), hs256(public))


def _of_another_kind(google: GoogleUpstream, algorithm: str, key: Any) -> str:
    return jwt.encode(google.claims(), key, algorithm=algorithm, headers={"kid": google.key_ids[-1]})


def _rs512(google: GoogleUpstream) -> str:
    return _of_another_kind(google, "RS512", google.private_key())


def _ps256(google: GoogleUpstream) -> str:
    return _of_another_kind(google, "PS256", google.private_key())


def _es256(google: GoogleUpstream) -> str:
    return _of_another_kind(google, "ES256", ec.generate_private_key(ec.SECP256R1()))


def _eddsa(google: GoogleUpstream) -> str:
    return _of_another_kind(google, "EdDSA", ed25519.Ed25519PrivateKey.generate())


def _strangers_jwk() -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(rsa_key(STRANGERS_KEY).public_key(), as_dict=True))


def _with_payload_of_another(google: GoogleUpstream) -> str:
    header, _, signature = _signed(google).split(".")
    _, payload, _ = _signed(google, sub="1" * 21).split(".")
    return f"{header}.{payload}.{signature}"


def _cut(keep: Callable[[str], str]) -> Attack:
    return lambda google: keep(_signed(google))


def _repeated(google: GoogleUpstream, name: str, *values: Any) -> str:
    """Say a claim twice, signed by Google's own key."""
    rest = json_bytes(google.claims(**{name: ABSENT})).decode()[1:]
    said = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for value in values)
    return compact(_header(google), f"{{{said},{rest}".encode(), rs256(google.private_key()))


def _repeated_header(google: GoogleUpstream) -> str:
    header = f'{{"alg":"none","alg":"RS256","kid":"{google.key_ids[-1]}"}}'
    return compact(header.encode(), google.claims(), rs256(google.private_key()))


def _changed(**changes: Any) -> Attack:
    return lambda google: _signed(google, **changes)


def _headed(**changes: Any) -> Attack:
    return lambda google: _signed(google, header=_header(google, **changes))


def _later(name: str, seconds: int) -> Attack:
    return lambda google: _signed(google, **{name: google.claims()["iat"] + seconds})


def _expired(google: GoogleUpstream) -> str:
    now = google.claims()["iat"]
    return _signed(google, iat=now - DAY_SECONDS, exp=now - 60)


def _under_another_kid(google: GoogleUpstream) -> str:
    old = google.key_ids[-1]
    new = google.rotate()
    return compact(_header(google, kid=new), google.claims(), rs256(google.private_key(old)))


def _withdrawn(google: GoogleUpstream) -> str:
    token, key_id = _signed(google), google.key_ids[-1]
    google.rotate()
    google.withdraw(key_id)
    return token


ATTACKS: dict[str, Attack] = {
    # Not signed, or by another algorithm.
    "alg none": lambda google: compact(_header(google, alg="none"), google.claims(), unsigned),
    "alg None": lambda google: compact(_header(google, alg="None"), google.claims(), unsigned),
    "alg nOnE with a signature": lambda google: _signed(google, header=_header(google, alg="nOnE")),
    "alg none without kid": lambda google: compact({"alg": "none"}, google.claims(), unsigned),
    "alg empty": _headed(alg=""),
    "alg absent": _headed(alg=ABSENT),
    "alg null": _headed(alg=None),
    "alg a list": _headed(alg=["RS256"]),
    "alg rs256": _headed(alg="rs256"),
    "RS256 without a signature": lambda google: compact(_header(google), google.claims(), unsigned),
    "RS512 by the same key": _rs512,
    "PS256 by the same key": _ps256,
    "ES256": _es256,
    "EdDSA": _eddsa,
    "HS256 with an empty secret": lambda google: compact(_header(google, alg="HS256"), google.claims(), hs256(b"")),
    # The public key as a secret.
    "HS256 with the public key, PEM": _confused(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "HS256 with the public key, PKCS 1": _confused(Encoding.PEM, PublicFormat.PKCS1),
    "HS256 with the public key, DER": _confused(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "HS256 with the modulus": _confused_modulus,
    "HS256 with the public key, named RS256": _hs256_named_rs256,
    # Another key.
    "a stranger's key under Google's kid": _forged,
    "a stranger's key under a kid of its own": lambda google: _forged(google, kid="stranger"),
    "kid absent": _headed(kid=ABSENT),
    "kid empty": _headed(kid=""),
    "kid null": _headed(kid=None),
    "kid a number": _headed(kid=1),
    "kid an object": _headed(kid={"a": 1}),
    "kid too long": _headed(kid="k" * 256),
    "kid a path": lambda google: _forged(google, kid="../../../../dev/null"),
    "kid an injection": lambda google: _forged(google, kid="' UNION SELECT 'secret'--"),
    "kid of another of Google's keys": _under_another_kid,
    "a withdrawn key": _withdrawn,
    # Keys the token brings along or points at.
    "embedded jwk": lambda google: _forged(google, jwk=_strangers_jwk()),
    "embedded jwk without kid": lambda google: _forged(google, kid=ABSENT, jwk=_strangers_jwk()),
    "embedded jwk on a good token": lambda google: _signed(google, header=_header(google, jwk=_strangers_jwk())),
    "jku": lambda google: _forged(google, jku="http://127.0.0.1:9/keys"),
    "jku on a good token": _headed(jku="https://www.googleapis.com/oauth2/v3/certs"),
    "x5u": lambda google: _forged(google, x5u="http://127.0.0.1:9/chain.pem"),
    "x5u on a good token": _headed(x5u="https://example.com/chain.pem"),
    "x5c": lambda google: _forged(google, x5c=["MIIB"]),
    "x5c on a good token": _headed(x5c=["MIIB"]),
    # What must be understood and is not.
    "crit of something unknown": _headed(
        crit=["https://example.com/understand"], **{"https://example.com/understand": 1}
    ),
    "crit of exp": _headed(crit=["exp"], exp=9_999_999_999),
    "crit empty": _headed(crit=[]),
    "crit no list": _headed(crit="b64"),
    "b64 false": _headed(b64=False, crit=["b64"]),
    "b64 true": _headed(b64=True, crit=["b64"]),
    "compressed": _headed(zip="DEF"),
    # Time.
    "expired": _expired,
    "expired an epoch ago": _changed(iat=1, exp=2),
    "exp absent": _changed(exp=ABSENT),
    "exp null": _changed(exp=None),
    "exp a text": _changed(exp="9999999999"),
    "exp a fraction": _changed(exp=9_999_999_999.5),
    "exp true": _changed(exp=True),
    "exp infinite": lambda google: compact(
        _header(google),
        json_bytes(google.claims()).replace(b'"exp":', b'"exp":1e999,"was":'),
        rs256(google.private_key()),
    ),
    "iat in the future": _later("iat", 120),
    "iat absent": _changed(iat=ABSENT),
    "iat a text": _changed(iat="1"),
    "nbf in the future": _later("nbf", 120),
    "nbf a text": _changed(nbf="1"),
    # For others, by others.
    "another audience": _changed(aud="somebody-else.apps.googleusercontent.com"),
    "audience absent": _changed(aud=ABSENT),
    "audience empty": _changed(aud=""),
    "audience null": _changed(aud=None),
    "several audiences, ours among them": lambda google: _signed(google, aud=[google.client_id, "another"]),
    "our audience in a list": lambda google: _signed(google, aud=[google.client_id]),
    "our audience in azp alone": _changed(aud="another"),
    "our audience and a blank": lambda google: _signed(google, aud=f"{google.client_id} "),
    "another issuer": _changed(iss="https://accounts.example.com"),
    "issuer absent": _changed(iss=ABSENT),
    "issuer with a slash": _changed(iss=f"{ISSUER}/"),
    "issuer over http": _changed(iss="http://accounts.google.com"),
    "issuer a list": _changed(iss=[ISSUER]),
    "issuer that begins like Google": _changed(iss=f"{ISSUER}.example.com"),
    "issuer of Firebase": _changed(iss="https://securetoken.google.com/project"),
    # About whom.
    "sub absent": _changed(sub=ABSENT),
    "sub empty": _changed(sub=""),
    "sub null": _changed(sub=None),
    "sub a number": _changed(sub=int(SUBJECT)),
    "sub a list": _changed(sub=[SUBJECT]),
    "sub too long": _changed(sub="1" * 256),
    "sub with a NUL": _changed(sub=f"{SUBJECT}\x00"),
    "sub of other digits": _changed(sub="१" * 21),
    "sub a password account's id": _changed(sub="1"),
    "sub a password account's longest id": _changed(sub="9" * 15),
    "email not verified": _changed(email_verified=False),
    "email_verified absent": _changed(email_verified=ABSENT),
    "email_verified null": _changed(email_verified=None),
    'email_verified "true"': _changed(email_verified="true"),
    "email_verified 1": _changed(email_verified=1),
    "email_verified a list": _changed(email_verified=[True]),
    "email absent": _changed(email=ABSENT),
    "email no address": _changed(email="nobody"),
    "email a list": _changed(email=["asha@example.com"]),
    # A good token, maltreated.
    "nothing": lambda _: "",
    "no token": lambda _: "a.b.c",
    "dots": lambda _: "..",
    "without its signature": _cut(lambda token: token.rpartition(".")[0]),
    "with an empty signature": _cut(lambda token: token.rpartition(".")[0] + "."),
    "truncated by a character": _cut(lambda token: token[:-1]),
    "truncated by half": _cut(lambda token: token[: len(token) // 2]),
    "with a fourth segment": _cut(lambda token: f"{token}.e30"),
    "with five segments": _cut(lambda token: f"{token}.e30.e30"),
    "with blanks around": _cut(lambda token: f" {token} "),
    "with a line's end": _cut(lambda token: f"{token}\n"),
    "with padding": _cut(lambda token: f"{token}=="),
    "with a NUL": _cut(lambda token: f"{token}\x00"),
    "in the other base64": _cut(lambda token: token.replace("-", "+").replace("_", "/") + "+/"),
    "as a bearer": _cut(lambda token: f"Bearer {token}"),
    "another's payload under its signature": _with_payload_of_another,
    "oversized": _changed(name="x" * 9_000),
    "oversized by far": lambda _: "a." * 500_000,
    "deeply nested": lambda google: compact(_header(google), b'{"a":' * 1_000 + b"1" + b"}" * 1_000, unsigned),
    "deeply nested header": lambda google: compact(b"[" * 2_000 + b"]" * 2_000, google.claims(), unsigned),
    "header a list": lambda google: compact(b'["RS256"]', google.claims(), rs256(google.private_key())),
    "payload a list": lambda google: compact(_header(google), b"[]", rs256(google.private_key())),
    "payload no JSON": lambda google: compact(_header(google), b"sub=1", rs256(google.private_key())),
    "payload not UTF-8": lambda google: compact(_header(google), b'{"sub":"\xff"}', rs256(google.private_key())),
    # Names said twice: readers differ about which one counts.
    "sub twice": lambda google: _repeated(google, "sub", SUBJECT, "1" * 21),
    "aud twice": lambda google: _repeated(google, "aud", "another", google.client_id),
    "email_verified twice": lambda google: _repeated(google, "email_verified", False, True),
    "exp twice": lambda google: _repeated(google, "exp", 1, 9_999_999_999),
    "alg twice": _repeated_header,
}
