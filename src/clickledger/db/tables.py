"""The tables of the control database, as SQLAlchemy Core declares them.

A migration in ``migrations/versions`` builds the same; a test compares the two.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database: SQLite has no zones, so they are put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive datetime; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the control database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


accounts = Table(
    "accounts",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),  # advertiser | partner
    Column("name", String(255), nullable=False),
    Column("token_hash", LargeBinary(32), nullable=False),  # HMAC-SHA-256, key in the data folder
    Column("time_zone", String(64), nullable=False, server_default="UTC"),
    Column("created_at", UtcDateTime, nullable=False),
)

programs = Table(
    "programs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("advertiser_sid", ForeignKey("accounts.sid"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("landing_page", String(2048), nullable=False),
    Column("deep_link_domains", JSON, nullable=False),  # ["example.com", "*.example.com"]
    Column("click_id_param", String(64), nullable=False, server_default="irclickid"),
    Column("partner_template", String(2048), nullable=False, server_default=""),
    Column("program_template", String(2048), nullable=False, server_default=""),
    Column("hide_sub_ids", Boolean, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

partners = Table(
    "partners",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sid", ForeignKey("accounts.sid"), nullable=False, unique=True),
    Column("advertiser_sid", ForeignKey("accounts.sid"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

ads = Table(
    "ads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("program_id", ForeignKey("programs.id"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("type", String(32), nullable=False),
    Column("landing_page", String(2048), nullable=False, server_default=""),  # empty: program's
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

vanity_links = Table(
    "vanity_links",
    metadata,
    Column("path", String(255), primary_key=True),  # starts with "/", no query
    Column("program_id", ForeignKey("programs.id"), nullable=False, index=True),
    Column("partner_id", ForeignKey("partners.id"), nullable=False),
    Column("ad_id", ForeignKey("ads.id"), nullable=False),
    Column("deep_link", String(2048), nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
)

#: One row; grows by one in the transaction of every change to what a link means.
directory_version = Table(
    "directory_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_sid", ForeignKey("accounts.sid"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("program_id", Integer, nullable=False),
    Column("identity", String(64), nullable=False),  # SHA-256 of the normalised parameters
    Column("parameters", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("message", String(2000), nullable=False, server_default=""),
    Column("run", Integer, nullable=False, server_default="1"),  # grows with each replay
    Column("attempt", Integer, nullable=False, server_default="0"),  # tries of this run so far
    Column("requested_at", UtcDateTime, nullable=False),  # when this run was asked for
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("abandoned_at", UtcDateTime),
    Column("cancelled_at", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Column("progress_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("lake_version", Integer),  # pinned for this run
    Column("complete_through", UtcDateTime),  # the lake's mark when the version was pinned
    Column("plan", JSON),  # slices of this run, fixed when the version was pinned
    Column("finished", JSON),  # finished slices: index, rows, bytes, SHA-256
    Column("records", Integer, nullable=False, server_default="0"),
    Column("percent", Integer, nullable=False, server_default="0"),
    Column("result_run", Integer),  # the newest run whose file can be downloaded
    UniqueConstraint("account_sid", "identity"),
    Index("ix_jobs_account_sid_created_at", "account_sid", "created_at"),
    Index("ix_jobs_state", "state"),
)
