"""Looking at versions: history of packages and sections, and what is different between two."""

from dataclasses import replace

import pytest

from alp_assets.commands.lines import local_time
from alp_assets.errors import VersionRefused
from alp_assets.registry.registry import Registry
from alp_assets.versions.compare import Change, differences
from alp_assets.versions.contents import contents_of, present
from alp_assets.versions.history import package_history, section_history
from alp_assets.versions.repository import repository_of
from alp_assets.versions.restore import restore
from alp_assets.versions.revisions import (
    committed,
    find_revision,
    first_commit,
    package_of,
    split_name,
    working_tree,
)
from alp_assets.versions.store import opened
from schemas.sections import Section

FAN = Section("acme", "fan", "1")


def compared(folder, first, second=None):
    repository = repository_of(folder.data_root)
    with opened(repository) as store:
        old = contents_of(store, find_revision(repository, folder, first))
        new = contents_of(store, find_revision(repository, folder, second)) if second else present(folder)
        return differences(old, new)


def test_history_shows_each_version_and_what_changed(twice):
    later, first = package_history(twice, 10)
    assert later.parameters["decision.policy"] == Change("alarms_per_day", "quantile")
    assert later.parameters["models.isolation_forest.trees"] == Change(10, 12)
    assert later.rescored > 0
    assert later.message.startswith("acme/first: 1 of 1 section scored")
    assert first.parameters == {}
    assert first.figures["auc"] is not None
    assert later.at >= first.at
    assert [item.revision for item in package_history(twice, 1)] == [later.revision]
    assert package_history(twice, 1)[0].parameters == later.parameters


def test_history_of_a_section_shows_its_models(twice):
    later, first = section_history(repository_of(twice.data_root), FAN)
    assert {later.version, first.version} == {item.version for item in Registry(twice.data_root).versions(FAN)}
    assert later.parameters["models.isolation_forest.trees"] == Change(10, 12)
    assert first.revision
    assert later.revision != first.revision
    (reign,) = first.reigns
    assert (reign.since < reign.until, reign.until) == (True, later.reigns[0].since)
    assert later.reigns[0].until == ""


def test_a_version_whose_files_are_lost_is_told_and_does_not_hide_the_others(twice):
    repository = repository_of(twice.data_root)
    lost = committed(repository, twice)[1].outs[""]
    (twice.data_root / ".dvc/cache/files/md5" / lost[:2] / lost[2:]).unlink()
    later, first = package_history(twice, 10)
    assert "not in DVC's cache any more" in first.problem
    assert later.figures


def test_the_difference_of_two_versions(twice):
    found = compared(twice, "HEAD~1", "HEAD")
    assert set(found.parameters) == {"decision.policy", "models.isolation_forest.trees"}
    assert "model_version" in found.sections["acme/fan/1"]
    assert found.compared == 7
    assert found.scores
    assert found.scores[0].difference > 0 or found.scores[0].turned
    assert (found.added, found.removed, found.audio) == ([], [], [])


def test_a_version_is_not_different_from_what_lies_there(twice):
    assert not compared(twice, "HEAD")
    assert compared(twice, "HEAD~1")


def test_a_clip_with_another_verdict_comes_first_and_clips_come_and_go(twice):
    import pandas as pd

    scores = pd.read_csv(twice.stage("scores") / "scores.csv", keep_default_na=False)
    turned = {"normal": "anomaly", "anomaly": "normal"}[scores.loc[2, "decision"]]
    scores.loc[2, "decision"] = turned
    clips = pd.read_parquet(twice.stage("clips") / "clips.parquet")
    clips.loc[0, "clip_id"] = "another"
    clips.loc[1, "audio_sha256"] = "0" * 64
    for table, write, path in (
        (scores, lambda table, path: table.to_csv(path, index=False), twice.stage("scores") / "scores.csv"),
        (clips, lambda table, path: table.to_parquet(path), twice.stage("clips") / "clips.parquet"),
    ):
        path.unlink()
        write(table, path)
    found = compared(twice, "HEAD")
    assert found.scores[0].clip_id == scores.loc[2, "clip_id"]
    assert found.scores[0].turned
    assert found.added == ["another"]
    assert len(found.removed) == len(found.audio) == 1


def test_revisions_are_found_by_commit_and_by_day(twice):
    repository = repository_of(twice.data_root)
    later, first = committed(repository, twice)
    assert find_revision(repository, twice, first.commit.commit[:7]) == first
    assert find_revision(repository, twice, "") == later
    assert find_revision(repository, twice, "2999-01-01") == later
    with pytest.raises(VersionRefused, match="was not versioned yet on 1999-12-31"):
        find_revision(repository, twice, "1999-12-31")
    with pytest.raises(VersionRefused, match="no revision 'nonsense'"):
        find_revision(repository, twice, "nonsense")
    with pytest.raises(VersionRefused, match="was not versioned at HEAD~2"):
        find_revision(repository, twice, "HEAD~2")


def test_a_time_that_history_shows_names_the_whole_minute(twice):
    repository = repository_of(twice.data_root)
    later = committed(repository, twice)[0]
    assert find_revision(repository, twice, local_time(later.commit.at)) == later
    assert find_revision(repository, twice, later.commit.at) == later
    with pytest.raises(VersionRefused, match="2026-02-30: there is no such day"):
        find_revision(repository, twice, "2026-02-30")


def test_a_version_that_other_commits_hold_too_is_of_the_commit_that_first_had_it(twice, quick):
    repository = repository_of(twice.data_root)
    later, first = committed(repository, twice)
    restore(twice, "HEAD~1", quick)
    restored = find_revision(repository, twice, "")
    assert restored.commit not in (later.commit, first.commit)
    assert first_commit(repository, restored) == first
    assert first_commit(repository, working_tree(repository, twice)) == first
    assert first_commit(repository, later) == later
    never = replace(working_tree(repository, twice), outs={"": "0" * 32})
    assert first_commit(repository, never) == never


def test_what_cannot_be_found_is_told_in_words(twice, tmp_path):
    other = package_of(twice.data_root, "acme/second")
    with pytest.raises(VersionRefused, match="no version"):
        package_history(other, 5)
    with pytest.raises(VersionRefused, match="write customer/package"):
        package_of(twice.data_root, "acme")
    with pytest.raises(VersionRefused, match="alp init"):
        repository_of(tmp_path / "elsewhere")
    with pytest.raises(VersionRefused, match="has no models"):
        section_history(repository_of(twice.data_root), Section("acme", "pump", "9"))


def test_names_and_revisions_are_told_apart():
    assert split_name("acme/first@HEAD~1") == ("acme/first", "HEAD~1")
    assert split_name("acme/first@HEAD@{1}") == ("acme/first", "HEAD@{1}")
    assert split_name("acme/first") == ("acme/first", "")
