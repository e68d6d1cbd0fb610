import pickle
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from auth.domain.keys import RotationPolicy
from auth.providers.key_files import KeyFile, KeyFileExposed, KeyFileInvalid, KeyFolder

NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
POLICY = RotationPolicy(publish_ahead=timedelta(minutes=1), token_lifetime=timedelta(days=7))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "auth-keys"


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_first_start_makes_one_key_that_only_its_owner_can_read(folder: Path) -> None:
    KeyFolder(folder, POLICY).prepare(NOW)
    (file,) = folder.glob("*.pem")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert file.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_the_next_start_finds_the_same_key(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    first = keys.read(NOW).standing
    KeyFolder(folder, POLICY).prepare(NOW + timedelta(days=1))
    assert KeyFolder(folder, POLICY).read(NOW + timedelta(days=1)).standing == first


START = """
import sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from auth.domain.keys import RotationPolicy
from auth.providers.key_files import KeyFolder

folder, go = Path(sys.argv[1]), Path(sys.argv[2])
keys = KeyFolder(folder, RotationPolicy(timedelta(minutes=1), timedelta(days=7)))
print("waiting", flush=True)
while not go.exists():
    time.sleep(0.0005)
keys.prepare(datetime.now(UTC))
print(keys.read(datetime.now(UTC)).standing.signing.id, flush=True)
"""


def test_processes_that_start_at_once_agree_on_one_key(folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [sys.executable, "-c", START, str(folder), str(go)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
    go.touch()
    ids = {process.communicate(timeout=20)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(ids) == len(list(folder.glob("*.pem"))) == 1


def test_what_a_killed_process_left_half_written_is_cleared_away(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / f"1772442900000000-{'x' * 43}.new").write_bytes(b"-----BEGIN PRIV")
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    assert not list(folder.glob("*.new"))
    assert len(keys.read(NOW).standing.published) == 1


def test_a_rotated_key_is_published_at_once_signs_later_and_outlives_its_tokens(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    old = keys.read(NOW).standing.signing
    day = NOW + timedelta(days=1)
    new = keys.rotate(day)
    assert keys.read(day).standing.published == (old, new)
    assert keys.read(day + timedelta(minutes=1)).standing.published == (new, old)
    assert keys.read(day + timedelta(days=7, minutes=1)).standing.published == (new,)


def test_a_key_made_by_a_clock_that_was_set_back_is_still_the_newer_one(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    old = keys.read(NOW).standing.signing
    new = keys.rotate(NOW - timedelta(hours=1))
    assert keys.read(NOW).standing.published == (old, new)
    assert keys.read(NOW + timedelta(minutes=2)).standing.published == (new, old)


def test_rotating_deletes_private_keys_that_nobody_needs(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    keys.rotate(NOW + timedelta(days=1))
    assert len(list(folder.glob("*.pem"))) == 2
    keys.rotate(NOW + timedelta(days=30))
    assert len(list(folder.glob("*.pem"))) == 2


def test_a_key_that_others_can_read_is_refused(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    (file,) = folder.glob("*.pem")
    file.chmod(0o640)
    with pytest.raises(KeyFileExposed, match="0640"):
        keys.read(NOW)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_broken_key_is_refused_and_never_replaced(folder: Path, content: bytes) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    (file,) = folder.glob("*.pem")
    file.write_bytes(content)
    with pytest.raises(KeyFileInvalid):
        keys.read(NOW)
    with pytest.raises(KeyFileInvalid):
        keys.prepare(NOW)
    assert [path.read_bytes() for path in folder.glob("*.pem")] == [content]


def test_keys_that_were_removed_are_missed(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    for file in folder.glob("*.pem"):
        file.unlink()
    with pytest.raises(KeyFileInvalid, match="no key"):
        keys.read(NOW)


def test_a_given_file_signs_with_its_first_key_and_publishes_all(tmp_path: Path) -> None:
    signing, old, older = (Ed25519PrivateKey.generate() for _ in range(3))
    path = tmp_path / "signing.pem"
    path.write_bytes(pem_of(signing) + b"rotated last week\n" + public_pem_of(old) + pem_of(older))
    keys = KeyFile(path).read(NOW)
    raw = [key.public_key().public_bytes_raw() for key in (signing, old, older)]
    assert [key.raw for key in keys.standing.published] == raw
    assert keys.private.private_bytes_raw() == signing.private_bytes_raw()


def test_a_given_file_may_be_read_only_and_group_readable(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(pem_of(Ed25519PrivateKey.generate()))
    path.chmod(0o440)
    assert len(KeyFile(path).read(NOW).standing.published) == 1


def test_a_given_file_that_cannot_sign_is_refused(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    other_kind = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    path = tmp_path / "signing.pem"
    for content in (
        b"",
        public_pem_of(key),
        other_kind,
        locked,
        b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----",
    ):
        path.write_bytes(content)
        with pytest.raises(KeyFileInvalid):
            KeyFile(path).read(NOW)


def test_a_key_is_named_by_its_thumbprint(tmp_path: Path) -> None:
    # RFC 8037, appendix A: the key of A.1 and its thumbprint of A.3.
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    path = tmp_path / "signing.pem"
    path.write_bytes(pem_of(Ed25519PrivateKey.from_private_bytes(secret)))
    assert KeyFile(path).read(NOW).standing.signing.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_private_key_can_be_neither_shown_nor_pickled(folder: Path) -> None:
    keys = KeyFolder(folder, POLICY)
    keys.prepare(NOW)
    in_use = keys.read(NOW)
    assert in_use.private.private_bytes_raw().hex() not in repr(in_use)
    assert "Ed25519PrivateKey" not in repr(in_use)
    with pytest.raises(TypeError):
        pickle.dumps(in_use.private)
