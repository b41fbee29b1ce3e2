"""What Alembic runs for every migration command.

The program hands over a connection with an open transaction. A developer who makes a new
migration names a scratch database instead, one that ``migrate`` has made::

    alembic -x url=sqlite:///scratch.db revision --autogenerate -m "what it does"
"""

from typing import Literal

from alembic import context
from sqlalchemy import Connection

from clickledger.db import engine, tables


def _render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our own column type as the plain one: a migration must not change with the code."""
    if kind == "type" and isinstance(item, tables.UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=tables.metadata,
        render_as_batch=True,  # SQLite alters a table by copying it
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with engine.open_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as scratch:
        _run(scratch)
