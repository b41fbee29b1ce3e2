"""First tables: accounts, programs, partners, ads, links, jobs.

Revision: 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table, and the one row that counts changes of the directory."""
    op.create_table(
        "accounts",
        sa.Column("sid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("time_zone", sa.String(64), server_default="UTC", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_accounts"),
    )
    op.create_table(
        "programs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("advertiser_sid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("landing_page", sa.String(2048), nullable=False),
        sa.Column("deep_link_domains", sa.JSON(), nullable=False),
        sa.Column("click_id_param", sa.String(64), server_default="irclickid", nullable=False),
        sa.Column("partner_template", sa.String(2048), server_default="", nullable=False),
        sa.Column("program_template", sa.String(2048), server_default="", nullable=False),
        sa.Column("hide_sub_ids", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_programs"),
        sa.ForeignKeyConstraint(
            ["advertiser_sid"], ["accounts.sid"], name="fk_programs_advertiser_sid"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_programs_advertiser_sid", "programs", ["advertiser_sid"])
    op.create_table(
        "partners",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sid", sa.String(64), nullable=False),
        sa.Column("advertiser_sid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partners"),
        sa.UniqueConstraint("sid", name="uq_partners_sid"),
        sa.ForeignKeyConstraint(["sid"], ["accounts.sid"], name="fk_partners_sid"),
        sa.ForeignKeyConstraint(
            ["advertiser_sid"], ["accounts.sid"], name="fk_partners_advertiser_sid"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_partners_advertiser_sid", "partners", ["advertiser_sid"])
    op.create_table(
        "ads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("program_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("landing_page", sa.String(2048), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ads"),
        sa.ForeignKeyConstraint(["program_id"], ["programs.id"], name="fk_ads_program_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ads_program_id", "ads", ["program_id"])
    op.create_table(
        "vanity_links",
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("program_id", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.Integer(), nullable=False),
        sa.Column("ad_id", sa.Integer(), nullable=False),
        sa.Column("deep_link", sa.String(2048), server_default="", nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_vanity_links"),
        sa.ForeignKeyConstraint(["program_id"], ["programs.id"], name="fk_vanity_links_program_id"),
        sa.ForeignKeyConstraint(["partner_id"], ["partners.id"], name="fk_vanity_links_partner_id"),
        sa.ForeignKeyConstraint(["ad_id"], ["ads.id"], name="fk_vanity_links_ad_id"),
    )
    op.create_index("ix_vanity_links_program_id", "vanity_links", ["program_id"])
    op.create_table(
        "directory_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_version"),
    )
    op.execute("INSERT INTO directory_version (id, version) VALUES (1, 0)")
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("account_sid", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("program_id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message", sa.String(2000), server_default="", nullable=False),
        sa.Column("run", sa.Integer(), server_default="1", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("completed_at", INSTANT),
        sa.Column("abandoned_at", INSTANT),
        sa.Column("cancelled_at", INSTANT),
        sa.Column("failed_at", INSTANT),
        sa.Column("progress_at", INSTANT),
        sa.Column("retry_at", INSTANT),
        sa.Column("lake_version", sa.Integer()),
        sa.Column("complete_through", INSTANT),
        sa.Column("plan", sa.JSON()),
        sa.Column("finished", sa.JSON()),
        sa.Column("records", sa.Integer(), server_default="0", nullable=False),
        sa.Column("percent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("result_run", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("account_sid", "identity", name="uq_jobs_account_sid_identity"),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_jobs_account_sid"),
    )
    op.create_index("ix_jobs_account_sid_created_at", "jobs", ["account_sid", "created_at"])
    op.create_index("ix_jobs_state", "jobs", ["state"])


def downgrade() -> None:
    """Drop every table; what they held is gone."""
    for table in (
        "jobs",
        "directory_version",
        "vanity_links",
        "ads",
        "partners",
        "programs",
        "accounts",
    ):
        op.drop_table(table)
