"""Checksums of versions and thresholds. Rows that are there already are taken to be as they were written."""

import sqlalchemy as sa
from alembic import op

from alp_assets.registry.checksums import COLUMN, checksum_of

revision = "0002"
down_revision = "0001"

_KEYS = {"model_versions": ("version",), "thresholds": ("version", "number")}


def upgrade() -> None:
    """Add the columns, and fill them."""
    connection = op.get_bind()
    for name, keys in _KEYS.items():
        op.add_column(name, sa.Column(COLUMN, sa.String(16), nullable=True))
        table = sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
        for row in connection.execute(sa.select(table)).mappings().all():
            this = [table.c[key] == row[key] for key in keys]
            connection.execute(table.update().where(*this).values({COLUMN: checksum_of(row)}))
