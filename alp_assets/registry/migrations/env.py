"""Alembic's entry: migrations run on the connection that ``database.py`` opened and locked."""

from alembic import context

from alp_assets.registry.tables import TABLES

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
