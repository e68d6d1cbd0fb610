"""Alembic's entry: runs on the connection that `ensure_schema` opened."""

from alerts.storage.tables import METADATA
from chassis.database import run_migrations

run_migrations(METADATA)
