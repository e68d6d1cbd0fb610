"""The tables of alerts' database."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)

from chassis.database import UtcDateTime
from chassis.outbox import outbox_table

ARMED = "armed"
FIRED = "fired"
EXPIRED = "expired"

METADATA = MetaData()


def _id_column(name: str, *, autoincrement: bool) -> Column[int]:
    # SQLite numbers rows by itself only in a column called exactly INTEGER.
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=autoincrement)


ALERTS = Table(
    "alerts",
    METADATA,
    _id_column("id", autoincrement=False),
    Column("user_id", String(255), nullable=False),
    Column("type", String(4), nullable=False),
    Column("instrument", String(64), nullable=False),
    Column("symbol", String(64), nullable=False),
    Column("price", String(24), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime),
    # Where the ticks that can fire it begin; both absent until that is known.
    Column("armed_stream", Integer),
    Column("armed_sequence", BigInteger),
    Column("fired_at", UtcDateTime),
    Column("fired_price", Double),
    Column("fired_source", String(64)),
    Column("fired_freshness", String(16)),
    # The time of the last tick evaluated when it was armed, in the ticks' time.
    Column("armed_at", UtcDateTime),
    Column("note", String(500)),
    Column("expires_at", UtcDateTime),
    Column("shard", SmallInteger, nullable=False),
    # Whether whoever holds the shard is still to take it up: it has a position, or the stream could not be asked.
    Column("is_waiting", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("user_id", "type", "instrument", name="alerts_identity"),
    CheckConstraint("(armed_stream IS NULL) = (armed_sequence IS NULL)", name="alerts_position"),
    CheckConstraint("(state = 'fired') = (fired_at IS NOT NULL)", name="alerts_fired"),
    Index(
        "alerts_armed",
        "shard",
        "instrument",
        postgresql_where=text("state = 'armed'"),
        sqlite_where=text("state = 'armed'"),
    ),
    Index(
        "alerts_waiting",
        "shard",
        "id",
        postgresql_where=text("state = 'armed' AND is_waiting"),
        sqlite_where=text("state = 'armed' AND is_waiting"),
    ),
    Index(
        "alerts_expiring",
        "expires_at",
        postgresql_where=text("state = 'armed' AND expires_at IS NOT NULL"),
        sqlite_where=text("state = 'armed' AND expires_at IS NOT NULL"),
    ),
)

# The ids of alerts that were deleted: no other alert gets one of them.
DELETED_ALERTS = Table(
    "deleted_alerts",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
)

# The accounts that ended of late: what was set in their names up to `through` is deleted, and refused from then on.
ENDED_ACCOUNTS = Table(
    "ended_accounts",
    METADATA,
    Column("user_id", String(255), primary_key=True),
    Column("through", UtcDateTime, nullable=False),
    Index("ended_accounts_through", "through"),
)

# One row for each arming that fired, with the tick that did it; the key says that an arming fires once.
FIRES = Table(
    "fires",
    METADATA,
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("user_id", String(255), nullable=False),
    Column("type", String(4), nullable=False),
    Column("instrument", String(64), nullable=False),
    Column("symbol", String(64), nullable=False),
    Column("price", String(24), nullable=False),
    Column("fired_at", UtcDateTime, nullable=False),
    Column("fired_price", Double, nullable=False),
    Column("source", String(64), nullable=False),
    Column("freshness", String(16), nullable=False),
    Column("publisher_id", String(255), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("stream_sequence", BigInteger, nullable=False),
    Column("committed_at", UtcDateTime, nullable=False),
    Column("note", String(500)),
    Column("crossed_during_gap", Boolean, nullable=False, server_default=false()),
    # The tick in front of the one that fired it, on the other side of the price; all absent when it is not known.
    Column("before_price", Double),
    Column("before_at", UtcDateTime),
    Column("before_source", String(64)),
    Column("before_publisher_id", String(255)),
    Column("before_epoch", BigInteger),
    Column("before_shard", SmallInteger),
    Column("before_sequence", BigInteger),
    Column("before_stream", Integer),
    Column("before_stream_sequence", BigInteger),
    # Absent in rows of releases that did not note it, too.
    Column("before_freshness", String(16)),
    Index("fires_of_user", "user_id", "committed_at"),
)

# How each fire is told, one row for each channel; rows are made when its event was told.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("channel", String(8), primary_key=True),
    Column("user_id", String(255), nullable=False),
    Column("state", String(8), nullable=False),
    Column("reason", String(16)),
    Column("attempts", Integer, nullable=False),
    Column("message_id", String(400), nullable=False),
    # Whether the mail shows its owner's note, decided before it is first sent; absent until then.
    Column("shows_note", Boolean),
    # From when on anybody may try it; while somebody does, the end of their lease.
    Column("due_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    CheckConstraint("(due_at IS NOT NULL) = (state = 'waiting')", name="deliveries_due_while_waiting"),
    Index("deliveries_of_user", "user_id"),
    Index(
        "deliveries_due",
        "due_at",
        postgresql_where=text("state = 'waiting'"),
        sqlite_where=text("state = 'waiting'"),
    ),
)

# Which mails were tried of late, by SHA-256 of the address. It names no user and outlives the account for an hour, lest
# whoever registers a stranger's address again and again sends them as many mails each time.
ADDRESS_MAILS = Table(
    "address_mails",
    METADATA,
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("address_digest", String(64), nullable=False),
    # While it waits, it is not counted.
    Column("state", String(8), nullable=False),
    # When it was last begun to be sent; once it was sent, when that was.
    Column("tried_at", UtcDateTime, nullable=False),
    Index("address_mails_of_address", "address_digest", "tried_at"),
    Index("address_mails_tried", "tried_at"),
)

# The lives of the stream of ticks, in the order in which they were first seen.
TICK_STREAMS = Table(
    "tick_streams",
    METADATA,
    Column("ordinal", Integer, primary_key=True, autoincrement=True),
    Column("created_at", UtcDateTime, nullable=False, unique=True),
    sqlite_autoincrement=True,
)

# Who holds which shard; a row changes only when the shard changes hands, and `fence` counts how often it did.
SHARD_LEASES = Table(
    "shard_leases",
    METADATA,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("holder", String(128)),
    Column("fence", BigInteger, nullable=False),
)

# The replicas that live, and until when what they hold is theirs.
REPLICAS = Table(
    "replicas",
    METADATA,
    Column("holder", String(128), primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False),
)

# How far the ticks of each shard were evaluated, and from where they are after a crash.
CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("resume_stream", Integer, nullable=False),
    Column("resume_sequence", BigInteger, nullable=False),
    Column("resume_at", UtcDateTime, nullable=False),
    Column("evaluated_stream", Integer, nullable=False),
    Column("evaluated_sequence", BigInteger, nullable=False),
)

# Where batches stand that repeated earlier ones, the last of them.
REPEATED_BATCHES = Table(
    "repeated_batches",
    METADATA,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("stream", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
)

# The last batch evaluated of each publisher's shard, in the epoch that it published in last.
PUBLISHER_SHARDS = Table(
    "publisher_shards",
    METADATA,
    Column("publisher_id", String(255), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    # Whose prices they are, and how fresh; absent where a release wrote it that did not ask.
    Column("source", String(64)),
    Column("freshness", String(16)),
)

# The same of the epochs that a publisher published in before that one. A table of its own, since the release before
# reads and writes one epoch of each publisher.
EARLIER_EPOCHS = Table(
    "earlier_epochs",
    METADATA,
    Column("publisher_id", String(255), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("source", String(64)),
    Column("freshness", String(16)),
)

# Stretches of time in which ticks may have been missed.
NOT_EVALUATED = Table(
    "not_evaluated",
    METADATA,
    _id_column("id", autoincrement=True),
    Column("reason", String(32), nullable=False),
    Column("from_at", UtcDateTime, nullable=False),
    Column("to_at", UtcDateTime, nullable=False),
    Column("shard", SmallInteger),
    Column("publisher_id", String(255)),
    Index("not_evaluated_to", "to_at"),
    sqlite_autoincrement=True,
)

OUTBOX = outbox_table(METADATA)
