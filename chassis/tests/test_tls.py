from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.health import Health
from chassis.rpc_client import open_channel
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.testing import free_port


def self_signed(folder: Path, name: str) -> dict[str, object]:
    """Make a certificate that is its own authority, for loopback."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return {
        "grpc_tls_key": folder / "key.pem",
        "grpc_tls_certificate": folder / "cert.pem",
        "grpc_tls_authority": folder / "cert.pem",
    }


async def test_only_a_peer_with_a_certificate_of_the_authority_is_served(tmp_path: Path) -> None:
    ours = ProcessSettings.model_validate({**self_signed(tmp_path / "ours", "ours"), "shutdown_grace_seconds": 0})
    theirs = ProcessSettings.model_validate(self_signed(tmp_path / "theirs", "theirs"))
    address = f"127.0.0.1:{free_port()}"
    async with serving(address, [], health=Health(), settings=ours):
        async with open_channel(address, [], settings=ours) as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        async with open_channel(address, [], settings=theirs) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)


def test_half_a_tls_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belong together"):
        ProcessSettings(grpc_tls_key=tmp_path / "key.pem")
