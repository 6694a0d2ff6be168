"""What Alembic runs: the versions, over the connection it is handed (`sync_server.migrate`)."""

from alembic import context
from sqlalchemy import Connection

from sync_server.tables import Table

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    raise TypeError("run migrations with: klantreis-office migrate")
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
