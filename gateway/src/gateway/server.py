"""The public HTTP server: uvicorn with our protocol, which bounds what a client may send before anything is parsed."""

from contextlib import AbstractAsyncContextManager

from chassis.http_server import serving_http
from gateway.protocol import BoundedHttpProtocol
from gateway.settings import Settings
from gateway.wire import Application

# Longer than proxies keep a connection that they may use again: 60 s, most often.
KEEP_ALIVE_SECONDS = 75
ACCEPTS = 16


def serving(app: Application, settings: Settings) -> AbstractAsyncContextManager[int]:
    """Serve the public API and yield the port; on leaving, give running requests SHUTDOWN_GRACE_SECONDS.

    Raises:
        AddressInUse: nothing could be bound.
    """
    return serving_http(
        app,
        settings.gateway_host,
        settings.gateway_port,
        grace_seconds=settings.shutdown_grace_seconds,
        accepts=ACCEPTS,
        http=BoundedHttpProtocol,
        access_log=settings.gateway_access_log,
        proxy_headers=bool(settings.gateway_trusted_proxies),
        forwarded_allow_ips=settings.gateway_trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
