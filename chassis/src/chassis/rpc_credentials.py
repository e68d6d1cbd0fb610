"""Mutual TLS between processes."""

import grpc

from chassis.settings import ProcessSettings


def client_credentials(settings: ProcessSettings) -> grpc.ChannelCredentials | None:
    """Return who we are and whom we believe, as the settings' files say; None where gRPC speaks no TLS."""
    if settings.grpc_tls_certificate is None or settings.grpc_tls_key is None or settings.grpc_tls_authority is None:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=settings.grpc_tls_authority.read_bytes(),
        private_key=settings.grpc_tls_key.read_bytes(),
        certificate_chain=settings.grpc_tls_certificate.read_bytes(),
    )
