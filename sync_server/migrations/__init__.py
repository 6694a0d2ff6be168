"""The database's versions (Alembic), from the first one on."""
