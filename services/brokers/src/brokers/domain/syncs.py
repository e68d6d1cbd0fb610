"""What a sync is: what it is asked with, what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from brokers.domain.brokers import Broker
from brokers.domain.credentials import CredentialField
from brokers.domain.rows import BrokerRows, RowCounts
from brokers.domain.secrets import Secret


@dataclass(frozen=True, slots=True)
class SyncOrder:
    """A user's wish to be synced.

    Attributes:
        user_id: whose portfolio it is.
        broker: who is asked.
        credentials: what the broker is asked with; a one-time code is among it.
        is_simulated: says that the sandbox is asked instead.
    """

    user_id: str
    broker: Broker
    credentials: Mapping[CredentialField, Secret]
    is_simulated: bool

    def forget_credentials(self) -> None:
        """Let go of the credentials, which are of no more use once the broker has answered."""
        for secret in self.credentials.values():
            secret.forget()


@dataclass(frozen=True, slots=True)
class SyncedRows:
    """What a sync brought.

    Attributes:
        sync_id: identifies the sync.
        user_id: whose rows they are.
        broker: who gave them.
        started_at: when it was asked for, before it waited for its turn.
        synced_at: when its answers were complete.
        is_simulated: says that they are the sandbox's.
        rows: the rows.
    """

    sync_id: str
    user_id: str
    broker: Broker
    started_at: datetime
    synced_at: datetime
    is_simulated: bool
    rows: BrokerRows


@dataclass(frozen=True, slots=True)
class Sync:
    """A finished sync, as `SyncedRows` has it, and what of it is stored now."""

    id: str
    broker: Broker
    synced_at: datetime
    is_simulated: bool
    counts: RowCounts
