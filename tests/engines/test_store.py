"""Model folders: what is written is what is read, and damage is never overlooked."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest

from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.engines.store import load_model, save_model
from alp_assets.errors import ModelCorrupt
from alp_assets.files import sha256_of
from alp_assets.params import MemoryBankParams

CARD = {"section": "acme/fan/1호기", "encoder": {"name": "logmel", "settings": {"n_mels": 128}}}


@pytest.fixture
def model(normals):
    return MemoryBank(MemoryBankParams(k=2)).fit(normals(6, 4))


@pytest.fixture
def folder(tmp_path, model):
    place = tmp_path / "fan__1호기"
    place.mkdir()
    save_model(place, model, "memory_bank", CARD)
    return place


def _change_card(folder, change):
    path = folder / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    change(card)
    path.write_text(json.dumps(card), encoding="utf-8")


def test_a_model_survives_its_folder_bit_for_bit(folder, model, embeddings):
    stored = load_model(folder)
    test = embeddings(30, seed=9)
    assert stored.model.score(test).tobytes() == model.score(test).tobytes()
    assert stored.model.settings == model.settings
    for name, value in model.tensors().items():
        assert stored.model.tensors()[name].tobytes() == value.tobytes()
        assert stored.model.tensors()[name].dtype == value.dtype


def test_the_card_keeps_what_it_was_given_and_tells_the_rest(folder):
    card = load_model(folder).card
    assert {name: card[name] for name in CARD} == CARD
    assert (card["engine"], card["format"]) == ("memory_bank", 2)
    assert card["settings"]["k"] == 2
    assert card["files"] == {"model.safetensors": sha256_of(folder / "model.safetensors")}


def test_the_same_model_is_the_same_bytes(folder, model, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    save_model(again, model, "memory_bank", CARD)
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_nothing_in_a_folder_can_run_code(folder):
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    weights = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    assert {name: tensor["dtype"] for name, tensor in header.items()} == dict.fromkeys(
        ["centre", "spread", "directions", "gains", "bank.source", "bank.target"], "F32"
    )
    assert 8 + length + max(tensor["data_offsets"][1] for tensor in header.values()) == len(weights)


@pytest.mark.parametrize("position", [0, 10, -1])
def test_a_flipped_byte_in_the_weights_is_found(folder, position):
    path = folder / "model.safetensors"
    weights = bytearray(path.read_bytes())
    weights[position] ^= 1
    path.write_bytes(weights)
    with pytest.raises(ModelCorrupt) as caught:
        load_model(folder)
    assert str(path) in str(caught.value)
    assert "checksum" in str(caught.value)
    assert "restore the folder from DVC" in str(caught.value)


def test_weights_cut_short_are_found(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelCorrupt, match="checksum"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelCorrupt, match="missing") as caught:
        load_model(folder)
    assert str(folder / name) in str(caught.value)
    assert "Run the models stage" in str(caught.value)


@pytest.mark.parametrize("key", ["format", "engine", "settings", "files"])
def test_a_card_without_a_key_is_corrupt(folder, key):
    _change_card(folder, lambda card: card.pop(key))
    with pytest.raises(ModelCorrupt, match=f"'{key}'") as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert "Run the models stage" in str(caught.value)


def test_another_format_is_named(folder):
    _change_card(folder, lambda card: card.update(format=3))
    with pytest.raises(ModelCorrupt, match="format 3 is not 2"):
        load_model(folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda card: card.update(engine="witchcraft"), id="unknown engine"),
        pytest.param(lambda card: card.update(settings=[]), id="settings a list"),
        pytest.param(lambda card: card["settings"].update(banks=["source"]), id="banks a list"),
        pytest.param(lambda card: card["settings"]["banks"].update(third={}), id="bank without weights"),
        pytest.param(lambda card: card.update(files={}), id="no checksum"),
    ],
)
def test_a_card_that_does_not_fit_is_corrupt(folder, change):
    _change_card(folder, change)
    with pytest.raises(ModelCorrupt, match="cannot be read") as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"format": 1,', id="cut off"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\0" * 300, id="zeros"),
    ],
)
def test_a_card_that_is_no_card_is_corrupt(folder, content):
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        load_model(folder)


def test_no_flipped_bit_of_the_card_raises_anything_but_corrupt(folder, model):
    path = folder / "model.json"
    card = path.read_bytes()
    rng = np.random.default_rng(0)
    for position, bit in zip(rng.integers(len(card), size=150), rng.integers(8, size=150), strict=True):
        changed = bytearray(card)
        changed[position] ^= 1 << int(bit)
        path.write_bytes(changed)
        with suppress(ModelCorrupt):
            load_model(folder)
