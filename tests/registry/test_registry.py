"""Model versions, champions, and what people decide about them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from alp_assets.errors import ModelCorrupt
from alp_assets.registry.records import ModelMissing, RegistryRefused, State
from alp_assets.registry.registry import Registry, content_hash, verify
from schemas.sections import Section
from tests.registry.conftest import FAN, FEBRUARY, JANUARY


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


def test_the_first_model_of_a_section_is_its_champion_and_later_ones_wait(registry, fitted):
    january = registry.register(FAN, "january", JANUARY, fitted("one"))
    february = registry.register(FAN, "february", FEBRUARY, fitted("two"))
    assert (january.state, february.state) == (State.CHAMPION, State.CANDIDATE)
    assert registry.champion(FAN) == january
    assert registry.versions(FAN) == [january, february]


def test_registering_again_keeps_state_name_and_what_was_written(registry, fitted):
    first = registry.register(FAN, "january", JANUARY, fitted("one"), name="good_old")
    second = registry.register(FAN, "february", FEBRUARY, fitted("two"))
    registry.promote(second.version, "jin", "")
    registry.describe(first.version, "the first", "jin")
    again = registry.register(FAN, "january", JANUARY, fitted("one"))
    assert again == registry.get("good_old")
    assert (again.state, again.description) == (State.ARCHIVED, "the first")
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
    versions = [
        registry.register(section, "january", JANUARY, fitted(f"of {number}"))
        for number, section in enumerate(sections)
    ]
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
    folders = [(fitted(f"own {i}"), fitted(f"shared {i}")) for i in range(4)]
    together = Barrier(4)

    def work(i):
        registry = Registry(root)
        together.wait()
        sections = Section("acme", "fan", f"unit {i}"), FAN
        return [
            registry.register(*pair)
            for pair in zip(sections, [f"p{i}"] * 2, [JANUARY] * 2, folders[i], strict=True)
        ]

    with ThreadPoolExecutor(4) as pool:
        versions = [version for pair in pool.map(work, range(4)) for version in pair]
    registry = Registry(root)
    assert {version.package for version in registry.versions(FAN)} == {"p0", "p1", "p2", "p3"}
    for version in versions:
        verify(version)
        assert version in registry.versions(version.section)


def test_threads_that_register_the_same_model_at_once_agree(root, fitted):
    registry = Registry(root)
    for attempt in range(5):
        folder = fitted(f"model {attempt}")
        section = Section("acme", "fan", str(attempt))
        together = Barrier(4)

        def work(_, section=section, together=together, folder=folder):
            together.wait()
            return registry.register(section, "january", JANUARY, folder)

        with ThreadPoolExecutor(4) as pool:
            versions = list(pool.map(work, range(4)))
        assert {version.version for version in versions} == {content_hash(folder)}
        assert len(registry.versions(section)) == 1
        verify(registry.champion(section))
        assert [path.name for path in versions[0].folder.parent.iterdir()] == [versions[0].version]


def test_a_folder_that_holds_no_model_is_refused(registry, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelCorrupt, match="missing"):
        registry.register(FAN, "january", JANUARY, tmp_path / "empty")
    assert registry.find() == []


def test_a_model_of_one_section_is_not_registered_for_another(registry, fitted):
    registry.register(FAN, "january", JANUARY, fitted("one"))
    with pytest.raises(RegistryRefused, match="of another section"):
        registry.register(Section("other", "fan", "1"), "january", JANUARY, fitted("one"))


def test_names_are_unique_and_found_by(registry, fitted):
    first = registry.register(FAN, "january", JANUARY, fitted("one"))
    second = registry.register(FAN, "january", JANUARY, fitted("two"))
    assert (first.name, second.name) == ("fan-1호기-memory_bank-1", "fan-1호기-memory_bank-2")
    other = registry.register(Section("other", "fan", "1호기"), "january", JANUARY, fitted("three"))
    assert other.name == "fan-1호기-memory_bank-3"
    assert registry.get(second.name) == registry.get(second.version) == second
    with pytest.raises(RegistryRefused, match="another model has this name"):
        registry.register(FAN, "january", JANUARY, fitted("four"), name=first.name)
    assert len(registry.find()) == 3


@pytest.mark.parametrize("name", ["a/b", "../x", "", ".hidden", "x" * 101, "0123456789abcdef", "two words"])
def test_a_name_that_could_not_be_a_files_or_is_an_ids_is_refused(registry, fitted, name):
    if name:
        with pytest.raises(RegistryRefused, match="cannot be the name"):
            registry.register(FAN, "january", JANUARY, fitted("one"), name=name)
    with pytest.raises(ModelMissing, match="there is no such model"):
        registry.get(name)


def test_what_the_folder_says_is_known_of_the_version(registry, fitted):
    found = registry.register(
        FAN, "january", JANUARY, fitted("one", normals={"source": 2, "target": 3}), who="jin"
    )
    assert (found.engine, found.letter, found.encoder, found.weights) == (
        "memory_bank",
        "B",
        "alp_conv",
        "ab" * 32,
    )
    assert (found.clips, found.packages, found.parameters["models"]["engine"]) == (5, ("january",), "auto")
    assert found.threshold == registry.threshold(found.version) == 1.0
    assert found.calibration["count"] == 5
    assert found.calibration["support"] == 5
    assert found.calibration["q50"] == pytest.approx(0.5)
    assert found.calibration["sensitivity"] == -6.0
    assert set(found.files) == {
        "model.safetensors",
        "model.json",
        "threshold.json",
        "plan.json",
        "sensitivity.json",
    }
    assert found.bytes == sum(path.stat().st_size for path in found.folder.iterdir())


def test_find_goes_by_all_that_is_given(registry, fitted):
    fan = registry.register(FAN, "january", JANUARY, fitted("one"))
    second = registry.register(FAN, "january", JANUARY, fitted("two"))
    pump = registry.register(Section("other", "pump", "1"), "january", JANUARY, fitted("three"))
    assert registry.find() == [pump, fan, second]
    assert registry.find(customer="acme") == [fan, second]
    assert registry.find(machine_type="pump") == [pump]
    assert registry.find(engine="memory_bank", state=State.CANDIDATE) == [second]
    assert registry.find(customer="nobody") == []


def test_promote_takes_the_section_over_and_roll_back_gives_it_back(registry, fitted):
    a, b, c = (registry.register(FAN, "january", JANUARY, fitted(name)).version for name in "abc")
    assert registry.promote(b, "jin", "hears more").state is State.CHAMPION
    assert registry.get(a).state is State.ARCHIVED
    registry.promote(c, "jin", "")
    assert registry.rollback(FAN, "lee", "false alarms").version == b
    assert registry.rollback(FAN, "lee", "still").version == a
    with pytest.raises(ModelMissing, match="no champion before"):
        registry.rollback(FAN, "lee", "")
    registry.promote(c, "jin", "")
    assert registry.rollback(FAN, "lee", "").version == a
    assert [item.state for item in registry.versions(FAN)].count(State.CHAMPION) == 1


def test_history_tells_who_decided_what_and_why_the_latest_first(registry, fitted):
    a, b = (registry.register(FAN, "january", JANUARY, fitted(name), who="alp").version for name in "ab")
    registry.promote(b, "jin", "hears more")
    registry.promote(b, "jin", "again")
    registry.describe(b, "the better one", "lee")
    found = [(e.who, e.what, e.version, e.before, e.after, e.why) for e in registry.history(FAN)]
    assert found == [
        ("lee", "described", b, "", "the better one", ""),
        ("jin", "promoted", b, "candidate", "champion", "hears more"),
        ("jin", "archived", a, "champion", "archived", "fan-1호기-memory_bank-2 took its place"),
        ("alp", "registered", b, "", "candidate", "fitted on package january"),
        ("alp", "promoted", a, "candidate", "champion", "the first model of its section"),
        ("alp", "registered", a, "", "candidate", "fitted on package january"),
    ]
    assert [event.version for event in registry.history(version=a)] == [a, a, a]
    assert registry.history(Section("other", "fan", "1")) == []
    assert registry.get(b).reason == "hears more"


def test_a_damaged_model_is_not_promoted_nor_gone_back_to(registry, fitted):
    a, b = (registry.register(FAN, "january", JANUARY, fitted(name)) for name in "ab")
    _change(b.folder)
    with pytest.raises(ModelCorrupt):
        registry.promote(b.version, "jin", "")
    assert registry.champion(FAN) == a
    registry.register(FAN, "january", JANUARY, fitted("b"))
    registry.promote(b.version, "jin", "")
    _change(a.folder)
    with pytest.raises(ModelCorrupt):
        registry.rollback(FAN, "jin", "")
    assert registry.champion(FAN).version == b.version


def test_a_pinned_champion_stays_until_it_is_unpinned(registry, fitted):
    a, b = (registry.register(FAN, "january", JANUARY, fitted(name)).version for name in "ab")
    pinned = registry.pin(b, "jin", "agreed with the customer")
    assert (pinned.state, pinned.pinned) == (State.CHAMPION, True)
    for attempt in (registry.promote, registry.pin):
        with pytest.raises(RegistryRefused, match="pinned"):
            attempt(a, "lee", "")
    with pytest.raises(RegistryRefused, match="pinned"):
        registry.rollback(FAN, "lee", "")
    assert not registry.unpin(FAN, "jin", "").pinned
    assert registry.promote(a, "lee", "").version == a
    assert [event.what for event in registry.history(version=b)][:3] == ["archived", "unpinned", "pinned"]


def test_a_champion_is_never_archived_and_an_archived_model_may_come_back(registry, fitted):
    a, b = (registry.register(FAN, "january", JANUARY, fitted(name)).version for name in "ab")
    with pytest.raises(RegistryRefused, match="Promote another one first"):
        registry.archive(a, "jin", "")
    assert registry.archive(b, "jin", "useless").state is State.ARCHIVED
    assert registry.promote(b, "jin", "after all").state is State.CHAMPION


def test_thresholds_are_numbered_and_the_last_is_in_force(registry, fitted):
    version = registry.register(FAN, "january", JANUARY, fitted("one")).version
    saved = registry.save_threshold(version, 1.5, "two alarms a day were too many", "jin")
    assert (saved.number, saved.value, registry.threshold(version)) == (1, 1.5, 1.5)
    assert [(item.number, item.value, item.note) for item in registry.thresholds(version)] == [
        (0, 1.0, "fitted"),
        (1, 1.5, "two alarms a day were too many"),
    ]
    assert registry.get(version).threshold == 1.0
    assert registry.history(version=version)[0].what == "threshold"
    for value in (float("nan"), float("inf")):
        with pytest.raises(RegistryRefused, match="no threshold"):
            registry.save_threshold(version, value, "", "jin")
    with pytest.raises(ModelMissing):
        registry.save_threshold("nothing", 1.0, "", "jin")


def test_the_last_label_of_a_clip_counts_and_earlier_ones_are_kept(registry):
    registry.label("acme", "january", "a", "normal", "a cart passed", "jin")
    registry.label("acme", "february", "a", "anomaly", "", "jin")
    registry.label("acme", "january", "a", "anomaly", "it was the bearing", "lee")
    registry.label("other", "january", "a", "normal", "", "jin")
    assert [(item.package, item.label, item.who) for item in registry.labels("acme")] == [
        ("february", "anomaly", "jin"),
        ("january", "anomaly", "lee"),
    ]
    assert [item.note for item in registry.labels("acme", "january")] == ["it was the bearing"]
    assert registry.labels("nobody") == []
    assert [item.label for item in registry.label_history("acme")] == ["normal", "anomaly", "anomaly"]
    with pytest.raises(RegistryRefused, match="normal or anomaly"):
        registry.label("acme", "january", "a", "broken", "", "jin")
