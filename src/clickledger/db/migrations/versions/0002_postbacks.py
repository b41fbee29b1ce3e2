"""Postbacks: notifications, their deliveries, and each attempt.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("account_sid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("draft", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(255), nullable=False),
        sa.Column("earlier_secret", sa.String(255)),
        sa.Column("earlier_until", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("failing_since", INSTANT),
        sa.Column("disabled_at", INSTANT),
        sa.Column("disabled_reason", sa.String(2000), server_default="", nullable=False),
        sa.Column("removed_at", INSTANT),
        sa.Column("click_cursor", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.ForeignKeyConstraint(
            ["account_sid"], ["accounts.sid"], name="fk_notifications_account_sid"
        ),
    )
    op.create_index("ix_notifications_account_sid_kind", "notifications", ["account_sid", "kind"])
    there = sa.text("removed_at IS NULL")
    op.create_index(
        "uq_notifications_account_sid_name",
        "notifications",
        ["account_sid", "name"],
        unique=True,
        sqlite_where=there,
        postgresql_where=there,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("notification_id", sa.String(36), nullable=False),
        sa.Column("account_sid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("program_id", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.Integer()),
        sa.Column("order_key", sa.String(64), server_default="", nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("event_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("fate", sa.String(16), nullable=False),
        sa.Column("next_at", INSTANT),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("message_id", name="uq_deliveries_message_id"),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notifications.id"], name="fk_deliveries_notification_id"
        ),
        sqlite_autoincrement=True,
    )
    for name, columns, condition in (
        ("ix_deliveries_waiting", ["notification_id", "tries", "next_at"], "fate = 'WAITING'"),
        (
            "ix_deliveries_order",
            ["notification_id", "order_key", "id"],
            "fate = 'WAITING' AND order_key <> ''",
        ),
    ):
        op.create_index(
            name,
            "deliveries",
            columns,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.create_index("ix_deliveries_notification_id_id", "deliveries", ["notification_id", "id"])
    op.create_index("ix_deliveries_finished_at", "deliveries", ["finished_at"])
    op.create_table(
        "attempts",
        sa.Column("delivery_id", SERIAL, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request_headers", sa.JSON(), nullable=False),
        sa.Column("request_body", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("response_headers", sa.JSON(), nullable=False),
        sa.Column("response_body", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(2000), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name="fk_attempts_delivery_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    """Drop the three tables; what they held is gone."""
    for table in ("attempts", "deliveries", "notifications"):
        op.drop_table(table)
