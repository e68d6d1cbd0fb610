"""Private keys on disk: the only place they are read from and written to.

A folder (mode 0700) holds `<microseconds since 1970>-<key id>.pem`, one PKCS#8 file (mode 0600) a key, each written
whole under a lock that the kernel releases when its holder dies. A given file, a mounted secret, is only read.
"""

import base64
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from auth.domain.keys import DatedKey, PublicKey, RotationPolicy, StandingKeys, standing_keys

LOCK_NAME = ".lock"
TEMPORARY_SUFFIX = ".new"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_KEY_FILE = re.compile(r"^(\d{16})-[\w-]{43}\.pem$")
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class KeyFileInvalid(RuntimeError):
    """A key file holds something else than unencrypted Ed25519 keys in PEM form."""

    def __init__(self, path: Path, expected: str) -> None:
        super().__init__(f"{path} holds {expected}")


class KeyFileExposed(RuntimeError):
    """Others than the owner may read a private key."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(
            f"{path} has mode {mode:04o}, so others may have read the private key: "
            "rotate it (`python -m auth rotate-key`), delete this file, or `chmod 600` it where nobody else could"
        )


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key with its private half."""

    dated: DatedKey
    private: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """The private key that signs and the public keys that verify, at one moment.

    Attributes:
        standing: the public keys.
        private: the key that signs.
        newest_at: when the newest key was made, whether or not it signs already; None when that is not known.
    """

    standing: StandingKeys
    private: Ed25519PrivateKey = field(repr=False)
    newest_at: datetime | None = None


class KeyFolder:
    """A folder of keys that rotate."""

    def __init__(self, folder: Path, policy: RotationPolicy) -> None:
        self._folder = folder
        self._policy = policy

    def prepare(self, now: datetime) -> None:
        """Make the folder and a first key unless they are there; of two processes at once, one makes it."""
        with self._locked():
            if not self._read_all():
                self._write(now)

    def rotate(self, now: datetime) -> PublicKey:
        """Add a key that signs after the policy's delay, and delete those that nobody needs any more."""
        with self._locked():
            # A clock that was set back must not make the new key look like the older one.
            newest = max((stored.dated.created_at + MICROSECOND for stored in self._read_all()), default=now)
            added = self._write(max(now, newest))
            dated = [stored.dated for stored in self._read_all()]
            needed = {key.id for key in standing_keys(dated, now, self._policy).published}
            for stored in self._read_all():
                if stored.dated.public.id not in needed:
                    self._path_of(stored.dated).unlink()
            self._sync_folder()
        return added

    def read(self, now: datetime) -> KeysInUse:
        """Return the keys in use at `now`.

        Raises:
            KeyFileInvalid: a file is not a key.
            KeyFileExposed: others may read a private key.
        """
        stored_keys = self._read_all()
        if not stored_keys:
            raise KeyFileInvalid(self._folder, "no key, though there was one at start")
        standing = standing_keys([stored.dated for stored in stored_keys], now, self._policy)
        private = next(stored.private for stored in stored_keys if stored.dated.public == standing.signing)
        return KeysInUse(standing, private, max(stored.dated.created_at for stored in stored_keys))

    def _read_all(self) -> list[StoredKey]:
        matches = ((path, _KEY_FILE.match(path.name)) for path in sorted(self._folder.iterdir()))
        return [_read_stored(path, int(match.group(1))) for path, match in matches if match is not None]

    def _write(self, now: datetime) -> PublicKey:
        private = Ed25519PrivateKey.generate()
        public = _public_key(private.public_key())
        path = self._path_of(DatedKey(public, now))
        temporary = path.with_suffix(TEMPORARY_SUFFIX)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._sync_folder()
        return public

    def _path_of(self, key: DatedKey) -> Path:
        return self._folder / f"{(key.created_at - EPOCH) // MICROSECOND:016d}-{key.public.id}.pem"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        descriptor = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._delete_unfinished()
            yield
        finally:
            os.close(descriptor)

    def _delete_unfinished(self) -> None:
        # Only a killed process leaves one: whoever writes holds the lock.
        for path in self._folder.glob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class KeyFile:
    """A given file: the first PEM block is the private key that signs, further ones are keys to keep publishing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, now: datetime) -> KeysInUse:  # noqa: ARG002  # the file itself says what is in use
        """Return the file's keys.

        Raises:
            KeyFileInvalid: it cannot be read as keys, or the first is not private.
        """
        keys = _read_blocks(self._path)
        if not keys or not isinstance(keys[0], Ed25519PrivateKey):
            raise KeyFileInvalid(self._path, "no private Ed25519 key in its first PEM block")
        published = dict.fromkeys(_public_key(_public_half(key)) for key in keys)
        signing = next(iter(published))
        return KeysInUse(StandingKeys(signing, tuple(published)), keys[0])


def _read_stored(path: Path, microseconds: int) -> StoredKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileExposed(path, mode)
    keys = _read_blocks(path)
    if len(keys) != 1 or not isinstance(keys[0], Ed25519PrivateKey):
        raise KeyFileInvalid(path, "something else than one private Ed25519 key")
    public = _public_key(keys[0].public_key())
    return StoredKey(DatedKey(public, EPOCH + microseconds * MICROSECOND), keys[0])


def _read_blocks(path: Path) -> Sequence[Ed25519PrivateKey | Ed25519PublicKey]:
    return [_parse(path, match.group()) for match in _PEM_BLOCK.finditer(path.read_bytes())]


def _parse(path: Path, block: bytes) -> Ed25519PrivateKey | Ed25519PublicKey:
    try:
        key = load_pem_public_key(block) if b"PUBLIC" in block else load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the parser says may quote the key.
        raise KeyFileInvalid(path, "a PEM block that is no unencrypted key") from None
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise KeyFileInvalid(path, "a key of another kind than Ed25519")
    return key


def _public_half(key: Ed25519PrivateKey | Ed25519PublicKey) -> Ed25519PublicKey:
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else key


def _public_key(key: Ed25519PublicKey) -> PublicKey:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    # RFC 7638: the required members of the JWK in lexicographic order, without space.
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}, separators=(",", ":"))
    return PublicKey(id=_base64url(hashlib.sha256(members.encode()).digest()), raw=raw)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
