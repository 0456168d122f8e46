"""What must hold after every drill, whatever was done."""

from __future__ import annotations

from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.files import sha256_of
from alp_assets.params import load_params
from alp_assets.registry.registry import Registry, verify
from alp_assets.stages.catalog import run_stage
from alp_assets.stages.models import package_sections
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.scores import SCORES_FILE
from alp_assets.stages.upload import ARCHIVE_FILE, upload
from alp_assets.store.manifest import MANIFEST_FILE
from drills.ground import Ground
from drills.verdict import DrillFailed, expect
from tests.packages import tree

_SAME = STAGES[STAGES.index("metadata") : STAGES.index("report")]


def check(ground: Ground, folder: PackageFolder) -> None:
    """The upload is as it was sent, what is finished is whole, and a second try ends as if nothing had been.

    Raises:
        DrillFailed: something is not so.
    """
    check_intact(ground, folder)
    try_again(ground, folder)
    check_recovered(ground, folder)


def check_intact(ground: Ground, folder: PackageFolder) -> None:
    """Zip and receipt are those that were sent, and no stage is there by half."""
    expect(sha256_of(ground.archive) == ground.sent, "the zip that was sent has changed")
    for name in STAGES:
        if not (folder.path / name).is_dir():
            continue
        expect((folder.path / name / MANIFEST_FILE).is_file(), f"{name} is there without a manifest")
        try:
            folder.prove(name)
        except AlpError as error:
            raise DrillFailed(f"a finished stage is not whole: {error}") from error
    kept = folder.path / "upload" / ARCHIVE_FILE
    if kept.exists():
        expect(sha256_of(kept) == ground.sent, "the upload that was kept is not the zip that was sent")


def try_again(ground: Ground, folder: PackageFolder) -> None:
    """Send the same zip and run every stage, as somebody does who saw the fault."""
    params = load_params(folder.data_root)
    try:
        upload(folder, params, archive=ground.archive)
        for name in STAGES[1:]:
            expect(run_stage(name, folder, params).passed, f"the second try failed at a gate of {name}")
    except AlpError as error:
        raise DrillFailed(f"the second try failed: {error}") from error


def check_recovered(ground: Ground, folder: PackageFolder) -> None:
    """Everything is as after the undisturbed run, byte for byte, and nothing lies about.

    Of a package under another name that is the scores.
    """
    check_intact(ground, folder)
    whole = ground.undisturbed
    expect((folder.path / "report").is_dir(), "there is no report")
    scores = (folder.path / "scores" / SCORES_FILE).read_bytes()
    expect(
        scores == (whole.path / "scores" / SCORES_FILE).read_bytes(),
        "the scores are not those of an undisturbed run",
    )
    if folder.key == whole.key:  # else names differ
        for name in _SAME:
            differing = _differing(folder.path / name, whole.path / name)
            expect(not differing, f"{name} is not that of an undisturbed run: {', '.join(differing[:3])}")
    left = [path for path in folder.path.iterdir() if path.name.endswith(".part")]
    expect(not left, f"half-written folders are left: {', '.join(path.name for path in left)}")
    registry = Registry(folder.data_root)
    for section in package_sections(folder):
        champion = registry.champion(section)
        expect(champion is not None, f"{section} has no champion")
        assert champion is not None
        try:
            verify(champion)
        except AlpError as error:
            raise DrillFailed(str(error)) from error


def _differing(one: Path, other: Path) -> list[str]:
    """Files that only one of two folders has, or that differ in their bytes."""
    here, there = tree(one), tree(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
