"""The server-wide broker sessions that market data comes from."""

from typing import Annotated, Literal

from gateway.models.credentials import AdminSecret, Credential, Credentials
from gateway.reply import DateTime, From, Reply, always

FeedState = Literal["off", "connecting", "connected", "live", "stale", "closed"]


class SessionStatus(Reply):
    """How a session stands; `simulated` says that it is the sandbox's."""

    initialized: bool
    """Whether one was opened since the service started."""
    valid: bool
    """Whether it can still be used."""
    set_at: DateTime | None
    """When it was opened; null without one."""
    expires_at: DateTime | None
    """When it ends, unless the broker ends it before; null without one."""
    feed: FeedState
    """How its stream of prices stands."""
    last_tick_at: DateTime | None
    simulated: Annotated[bool, From("is_simulated")]


class ZerodhaStatus(SessionStatus):
    """How Zerodha's session stands."""

    token_type: str | None


class IciciActivated(SessionStatus):
    """ICICI's session, opened."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("ICICI session activated")]


class ZerodhaActivated(ZerodhaStatus):
    """Zerodha's session, opened."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Zerodha session activated")]


class IciciActivation(Credentials):
    """Opening ICICI's session; key and secret are the configured ones unless both are given."""

    api_session: Credential
    secret: AdminSecret | None = None
    api_key: Credential | None = None
    api_secret: Credential | None = None


class ZerodhaActivation(Credentials):
    """Opening Zerodha's session."""

    api_key: Credential
    api_secret: Credential
    request_token: Credential
    secret: AdminSecret | None = None
