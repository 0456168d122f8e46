"""The asset that takes versions: what fails is shown as its check, and the run goes on."""

import shutil

import dagster as dg

from alp_assets.assets.versioned import versioned
from alp_assets.assets.workplace import Workplace, packages
from alp_assets.versions.repository import make_repository


def run(folder) -> tuple[bool, dg.AssetCheckEvaluation, dict]:
    workplace = Workplace(folder.data_root, {"versioned.tries": 1})
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(packages.name, [folder.key])
        result = dg.materialize(
            [versioned], partition_key=folder.key, instance=instance, resources={"workplace": workplace}
        )
        (check,) = result.get_asset_check_evaluations()
        (event,) = result.asset_materializations_for_node("versioned")
        return result.success, check, event.metadata


def test_a_push_that_fails_shows_as_the_check_and_the_package_is_versioned(done, tmp_path):
    make_repository(done.data_root, str(tmp_path / "store"))
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").write_text("no folder")
    success, check, figures = run(done)
    assert success
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "not copied to the remote" in check.description
    assert figures["content_hash"].value.endswith(".dir")
    (tmp_path / "store").unlink()
    (tmp_path / "store").mkdir()
    success, check, figures = run(done)
    assert check.passed
    assert figures["pushed"].value is True


def test_a_snapshot_that_fails_does_not_fail_the_run(done):
    make_repository(done.data_root)
    (done.data_root / ".dvc" / "config").write_text("[core\n")
    success, check, _ = run(done)
    assert success
    assert not check.passed
    assert "results are whole" in check.description
