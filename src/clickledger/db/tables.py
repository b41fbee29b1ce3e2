"""The tables of the control database, as SQLAlchemy Core declares them.

A migration in ``migrations/versions`` builds the same; a test compares the two.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
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
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
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


#: A number that grows by itself; SQLite has that for its own INTEGER only.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")

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

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_sid", ForeignKey("accounts.sid"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("draft", JSON, nullable=False),  # all that may be said of one, but name and kind
    Column("secret", String(255), nullable=False),  # in clear: it signs
    Column("earlier_secret", String(255)),  # signs too until then
    Column("earlier_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("failing_since", UtcDateTime),
    Column("disabled_at", UtcDateTime),
    Column("disabled_reason", String(2000), nullable=False, server_default=""),
    Column("removed_at", UtcDateTime),  # kept while its log is kept
    Column("click_cursor", JSON),  # of kind CLICK: how far the lake was followed
    Index("ix_notifications_account_sid_kind", "account_sid", "kind"),
    Index(
        "uq_notifications_account_sid_name",
        "account_sid",
        "name",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
)

#: The outbox and, once finished, the log: an event on its way to one endpoint.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _SERIAL, primary_key=True),  # grows in the order in which events were put
    Column("message_id", String(64), nullable=False, unique=True),
    Column("notification_id", ForeignKey("notifications.id"), nullable=False),
    Column("account_sid", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("event", String(32), nullable=False),
    Column("program_id", Integer, nullable=False),
    Column("partner_id", Integer),
    Column("order_key", String(64), nullable=False, server_default=""),
    Column("values", JSON, nullable=False),
    Column("event_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("fate", String(16), nullable=False),
    Column("next_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),  # since put or last replayed
    Column("finished_at", UtcDateTime),
    # What is due, by endpoint, first attempts apart from retries; only what waits is in it.
    Index(
        "ix_deliveries_waiting",
        "notification_id",
        "tries",
        "next_at",
        sqlite_where=text("fate = 'WAITING'"),
        postgresql_where=text("fate = 'WAITING'"),
    ),
    # What must go before another of the same key.
    Index(
        "ix_deliveries_order",
        "notification_id",
        "order_key",
        "id",
        sqlite_where=text("fate = 'WAITING' AND order_key <> ''"),
        postgresql_where=text("fate = 'WAITING' AND order_key <> ''"),
    ),
    Index("ix_deliveries_notification_id_id", "notification_id", "id"),
    Index("ix_deliveries_finished_at", "finished_at"),
    sqlite_autoincrement=True,
)

#: Each call of a delivery, secrets masked.
attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("method", String(8), nullable=False),
    Column("url", Text, nullable=False),
    Column("request_headers", JSON, nullable=False),
    Column("request_body", Text, nullable=False),
    Column("status", Integer),
    Column("response_headers", JSON, nullable=False),
    Column("response_body", Text, nullable=False),
    Column("outcome", String(2000), nullable=False),
)
