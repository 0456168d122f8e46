"""Model versions and champions, also when several threads and processes register at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from alp_assets.errors import ModelCorrupt
from alp_assets.registry.registry import Registry, content_hash, verify
from schemas.sections import Section

FAN = Section("acme", "fan", "1호기")
JANUARY, FEBRUARY, MARCH = (f"2026-0{month}-01T00:00:00+00:00" for month in (1, 2, 3))


@pytest.fixture
def fitted(tmp_path):
    """A model folder with this content."""

    def make(content):
        folder = tmp_path / "fitted" / content
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(content.encode() * 100)
        (folder / "model.json").write_text('{"engine": "memory_bank"}', encoding="utf-8")
        (folder / "threshold.json").write_text('{"value": 1.0}', encoding="utf-8")
        return folder

    return make


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def registry(root):
    return Registry(root)


def test_a_version_is_a_copy_that_the_model_folder_may_leave(registry, fitted):
    folder = fitted("one")
    version = registry.register(FAN, "january", JANUARY, folder)
    for path in folder.iterdir():
        assert (version.folder / path.name).read_bytes() == path.read_bytes()
        path.unlink()
    assert registry.champion(FAN) == version
    verify(version)


def test_a_section_without_models_has_no_champion(registry):
    assert registry.champion(FAN) is None
    assert registry.versions(FAN) == []


def test_the_package_received_last_has_the_champion_whatever_is_fitted_last(registry, fitted):
    february = registry.register(FAN, "february", FEBRUARY, fitted("two"))
    january = registry.register(FAN, "january", JANUARY, fitted("one"))
    assert registry.champion(FAN) == february
    march = registry.register(FAN, "march", MARCH, fitted("three"))
    assert registry.versions(FAN) == [march, february, january]


def test_of_one_package_the_latest_fit_is_the_champion(registry, fitted):
    first = registry.register(FAN, "january", JANUARY, fitted("one"))
    second = registry.register(FAN, "january", JANUARY, fitted("two"))
    assert registry.champion(FAN) == second
    again = registry.register(FAN, "january", JANUARY, fitted("one"))
    assert again.version == first.version
    assert registry.champion(FAN) == again
    assert len(registry.versions(FAN)) == 2


def test_the_same_content_is_the_same_version(registry, fitted, root):
    first = registry.register(FAN, "january", JANUARY, fitted("one"))
    again = registry.register(FAN, "january", JANUARY, fitted("one"))
    assert (again.version, again.folder) == (first.version, first.folder)
    assert [path.name for path in first.folder.parent.iterdir()] == [first.version]
    assert Registry(root).versions(FAN) == [again]


def test_sections_keep_to_themselves(registry, fitted):
    sections = [
        FAN,
        Section("acme", "pump", "1호기"),
        Section("other", "fan", "1호기"),
        Section("acme", "fan", "1"),
    ]
    versions = [registry.register(section, "january", JANUARY, fitted("same")) for section in sections]
    assert len({version.folder for version in versions}) == 4
    for section, version in zip(sections, versions, strict=True):
        assert registry.versions(section) == [version]


@pytest.mark.parametrize("section_id", ["1호기", "A/B", "../../etc", "..", "팬 #3 (동관)", "a\\b:c", "." * 64])
def test_any_section_id_stays_in_the_folder_of_its_customer(registry, fitted, root, section_id):
    section = Section("acme", "fan", section_id)
    version = registry.register(section, "january", JANUARY, fitted("one"))
    assert version.folder.resolve().parent.parent == (root / "models" / "acme").resolve()
    assert registry.champion(section) == version
    verify(version)


def _change(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)


def _new(folder):
    (folder / "deeper").mkdir()
    return folder / "deeper"


DAMAGE = [
    pytest.param(_change, id="changed byte"),
    pytest.param(lambda folder: (folder / "threshold.json").unlink(), id="missing file"),
    pytest.param(lambda folder: (folder / "extra.json").write_text("{}"), id="extra file"),
    pytest.param(lambda folder: (folder / "model.json").rename(folder / "card.json"), id="renamed file"),
    pytest.param(lambda folder: (folder / "model.json").rename(_new(folder) / "model.json"), id="moved file"),
    pytest.param(lambda folder: folder.rename(folder.with_name("elsewhere")), id="missing folder"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_notices_damage_and_says_how_to_mend_it(registry, fitted, damage):
    version = registry.register(FAN, "january", JANUARY, fitted("one"))
    damage(version.folder)
    with pytest.raises(ModelCorrupt) as caught:
        verify(version)
    text = str(caught.value)
    assert str(version.folder) in text
    assert "acme/fan/1호기" in text
    assert "Run the models stage of package january again" in text


@pytest.mark.parametrize("damage", DAMAGE)
def test_registering_the_same_model_again_mends_it(registry, fitted, damage):
    damage(registry.register(FAN, "january", JANUARY, fitted("one")).folder)
    version = registry.register(FAN, "january", JANUARY, fitted("one"))
    verify(version)
    assert (version.folder / "threshold.json").read_bytes() == (fitted("one") / "threshold.json").read_bytes()


def test_the_name_of_a_version_covers_names_and_content(fitted):
    folder = fitted("one")
    before = content_hash(folder)
    (folder / "threshold.json").rename(folder / "thresholds.json")
    assert content_hash(folder) != before
    assert content_hash(fitted("two")) != before


def test_threads_that_register_at_once_lose_nothing(root, fitted):
    folders = [fitted(f"model {i}") for i in range(4)]
    together = Barrier(4)

    def work(i):
        registry = Registry(root)
        together.wait()
        section = Section("acme", "fan", f"unit {i}")
        return [registry.register(section if own else FAN, f"p{i}", JANUARY, folders[i]) for own in (True, False)]

    with ThreadPoolExecutor(4) as pool:
        versions = [version for pair in pool.map(work, range(4)) for version in pair]
    registry = Registry(root)
    assert {version.package for version in registry.versions(FAN)} == {"p0", "p1", "p2", "p3"}
    for version in versions:
        verify(version)
        assert version in registry.versions(version.section)


def test_threads_that_register_the_same_model_at_once_agree(root, fitted):
    folder = fitted("one")
    registry = Registry(root)
    for attempt in range(5):
        section = Section("acme", "fan", str(attempt))
        together = Barrier(4)

        def work(_, section=section, together=together):
            together.wait()
            return registry.register(section, "january", JANUARY, folder)

        with ThreadPoolExecutor(4) as pool:
            versions = list(pool.map(work, range(4)))
        assert {version.version for version in versions} == {content_hash(folder)}
        assert len(registry.versions(section)) == 1
        verify(registry.champion(section))
        assert [path.name for path in versions[0].folder.parent.iterdir()] == [versions[0].version]


_CHILD = """
import sys
from pathlib import Path
from alp_assets.registry.registry import Registry
from schemas.sections import Section

root, fitted, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
registry = Registry(root)
for folder in sorted(fitted.iterdir()):
    registry.register(Section("acme", "fan", folder.name), "january", "2026-01-01", folder)
    registry.register(Section("acme", "pump", number), "january", "2026-01-01", folder)
"""


def test_processes_that_register_at_once_lose_nothing(root, fitted, tmp_path):
    """Also the first use of a data root, when there is no table yet."""
    for i in range(5):
        fitted(f"model {i}")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(root), str(tmp_path / "fitted"), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    registry = Registry(root)
    for i in range(5):
        (version,) = registry.versions(Section("acme", "fan", f"model {i}"))
        verify(version)
    for number in range(3):
        versions = registry.versions(Section("acme", "pump", str(number)))
        assert len(versions) == 5
        for version in versions:
            verify(version)
