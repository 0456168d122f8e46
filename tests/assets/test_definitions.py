"""What Dagster is told: a snapshot of all definitions, and what loading them imports."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg

from alp_assets.definitions import defs

SNAPSHOT = Path(__file__).with_name("definitions.json")
HEAVY = ("torch", "transformers", "great_expectations", "librosa", "sklearn", "matplotlib", "pandera", "dvc")


def described() -> dict:
    graph = defs.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": node.partitions_def.name if node.partitions_def else None,
            "owners": list(node.owners),
            "kinds": sorted(node.kinds),
            "description": node.description,
            "pools": sorted(node.pools or []),
        }
    checks = {
        f"{spec.asset_key.to_user_string()}:{spec.name}": {
            "blocking": spec.blocking,
            "partitions": spec.partitions_def.name if spec.partitions_def else None,
            "description": spec.description,
        }
        for spec in sorted(_specs(), key=lambda spec: spec.key.to_user_string())
    }
    jobs = {job.name: sorted(job.asset_layer.executable_asset_keys) for job in [defs.resolve_job_def("onboard")]}
    sensors = {
        sensor.name: {"interval_s": sensor.minimum_interval_seconds, "status": sensor.default_status.value}
        for sensor in defs.sensors
    }
    return {
        "assets": assets,
        "checks": checks,
        "jobs": {name: [key.to_user_string() for key in keys] for name, keys in jobs.items()},
        "sensors": sensors,
        "executor": defs.executor.name,
    }


def _specs() -> list[dg.AssetCheckSpec]:
    made = [item for item in (*defs.assets, *defs.asset_checks) if not isinstance(item, dg.AssetSpec)]
    return [spec for definition in made for spec in definition.check_specs]


def test_the_definitions_are_the_ones_agreed_on():
    """Regenerate on purpose: python -m tests.assets.test_definitions."""
    assert described() == json.loads(SNAPSHOT.read_text())


def test_they_load_and_validate():
    dg.Definitions.validate_loadable(defs)


def test_loading_imports_nothing_heavy():
    code = f"import sys, alp_assets.definitions; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(), indent=2, sort_keys=True) + "\n")
