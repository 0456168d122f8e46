"""Make the tables of Dagster and of the registry before anything that runs in parallel needs them."""

from __future__ import annotations

from dagster import DagsterInstance

from alp_assets.home import data_root
from alp_assets.registry.registry import Registry

if __name__ == "__main__":
    with DagsterInstance.get():
        pass
    Registry(data_root())
