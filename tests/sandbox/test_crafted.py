"""Files made to run code, to read what is not theirs or to swell: none does, and each is refused in words."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from alp_assets.encoders.checkpoint import read_checkpoint
from alp_assets.engines.store import load_model
from alp_assets.errors import AlpError, ModelCorrupt, TableRefused
from alp_assets.files import sha256_of, write_json
from alp_assets.intake.normalize import normalize
from alp_assets.intake.table import read_table
from alp_assets.params import Params
from alp_assets.signals.decode import decoded_signal
from alp_assets.signals.read import read_signal
from alp_assets.signals.recording import SignalUnreadable
from tests.packages import row, table

LIMITS = Params().quality


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, sentinel):
        self._sentinel = str(sentinel)

    def __reduce__(self):
        return os.system, (f"touch '{self._sentinel}'",)


@pytest.fixture
def sentinel(tmp_path):
    """A file that is there only if something was run; the test fails then."""
    path = tmp_path / "run"
    yield path
    assert not path.exists(), "the file has run code"


def test_the_payload_works(tmp_path):
    """Else the other tests would prove nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "run")))
    assert (tmp_path / "run").exists()


def model_folder(place, weights, **card):
    place.mkdir()
    (place / "model.safetensors").write_bytes(weights)
    told = {"format": 2, "engine": "memory_bank", "settings": {}, "encoder": {}}
    told |= {"files": {"model.safetensors": sha256_of(place / "model.safetensors")}, **card}
    write_json(place / "model.json", told)
    return place


def torch_pickle(payload):
    import torch

    stream = io.BytesIO()
    torch.save({"bank": payload}, stream)
    return stream.getvalue()


def test_weights_that_are_a_pickle_are_refused_unread(tmp_path, sentinel):
    for number, data in enumerate((pickle.dumps(Payload(sentinel)), torch_pickle(Payload(sentinel)))):
        with pytest.raises(ModelCorrupt):
            load_model(model_folder(tmp_path / str(number), data))


@pytest.mark.parametrize(
    "weights",
    [
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 99_000_000) + b"{",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 80)
        + b'{"a":{"dtype":"F32","shape":[1000000000,1000000],"data_offsets":[0,4]}}'.ljust(80),
        struct.pack("<Q", 80) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,-4]}}'.ljust(80),
        struct.pack("<Q", 20_000) + b"[" * 20_000,
        b"",
    ],
    ids=["endless header", "header beyond the file", "list", "endless tensor", "backwards", "deep", "empty"],
)
def test_impossible_weights_are_refused(tmp_path, weights):
    with pytest.raises(ModelCorrupt):
        load_model(model_folder(tmp_path / "model", weights))


@pytest.mark.parametrize(
    "card",
    [
        {"engine": ["memory_bank"]},
        {"engine": "os.system"},
        {"engine": "__import__('os')"},
        {"engine": {"$type": "x"}},
        {"settings": "x"},
        {"settings": {"k": {"__reduce__": "x"}}},
        {"files": []},
        {"files": {"model.safetensors": "0" * 64}},
        {"files": {}},
        {"format": "2"},
        {"format": None},
    ],
)
def test_a_card_of_odd_kinds_is_refused(tmp_path, card):
    from safetensors.numpy import save

    with pytest.raises(ModelCorrupt):
        load_model(model_folder(tmp_path / "model", save({"bank": np.zeros((2, 2), np.float32)}), **card))


@pytest.mark.parametrize("text", ["[" * 200_000, "[1, 2]", "null", '"x"', "\x00", '{"format": 1e999}', ""])
def test_a_card_that_is_no_card_is_refused(tmp_path, text):
    place = model_folder(tmp_path / "model", b"x")
    (place / "model.json").write_text(text)
    with pytest.raises(ModelCorrupt):
        load_model(place)


def test_a_checkpoint_of_an_encoder_runs_nothing(tmp_path, sentinel):
    path = tmp_path / "weights.pt"
    for data in (torch_pickle(Payload(sentinel)), pickle.dumps(Payload(sentinel)), b"PK\x03\x04"):
        path.write_bytes(data)
        with pytest.raises(AlpError, match=r"weights\.pt"):
            read_checkpoint(path)


def refused(data, code):
    """Both by the reader and through the decoder's process."""
    for read in (
        lambda: read_signal(io.BytesIO(data), "a.mat", sample_rate_hz=100.0),
        lambda: decoded_signal(io.BytesIO(data), "a.mat", LIMITS, sample_rate_hz=100.0),
    ):
        with pytest.raises(SignalUnreadable) as caught:
            read()
        assert caught.value.problem.code == code


def test_an_array_of_objects_is_refused_unread(sentinel):
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(sentinel)], object), allow_pickle=True)
    refused(stream.getvalue(), "signal_objects")
    refused(pickle.dumps(Payload(sentinel)), "signal_is_pickle")


def test_metadata_of_a_parquet_file_runs_nothing(sentinel):
    """Neither pickled extension types of Arrow nor what pandas writes beside a table are believed."""
    payload = pickle.dumps(Payload(sentinel))
    for name in (b"arrow.py_extension_type", b"pandas.period", b"alp.unknown"):
        field = pa.field(
            "Ia", pa.float64(), metadata={b"ARROW:extension:name": name, b"ARROW:extension:metadata": payload}
        )
        pandas = json.dumps({"index_columns": ["__import__('os')"], "columns": [{"pandas_type": "object"}]})
        schema = pa.schema([field], metadata={b"pandas": pandas.encode()})
        stream = io.BytesIO()
        pq.write_table(pa.table([pa.array(np.arange(300.0))], schema=schema), stream)
        for read in (read_signal, lambda data, name, **more: decoded_signal(data, name, LIMITS, **more)):
            try:
                found = read(io.BytesIO(stream.getvalue()), "a.parquet", sample_rate_hz=100.0)
            except SignalUnreadable:
                assert name == b"pandas.period", "only pandas itself, where it is loaded, looks at what is its own"
            else:
                assert found.values.shape == (1, 300)


def test_objects_and_functions_of_a_matlab_file_are_not_touched(sentinel):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"cell": np.array([{"x": 1}, "y"], object), "text": "x"})
    refused(stream.getvalue(), "signal_no_numbers")


@pytest.mark.parametrize("kind", ["external", "virtual", "link"])
def test_a_matlab_file_reads_no_other_file(tmp_path, kind):
    secret = tmp_path / "secret"
    np.arange(400.0).tofile(secret)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.arange(400.0)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        if kind == "external":
            file.create_dataset("Ia", (400,), "f8", external=[(str(secret), 0, 3200)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((400,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (400,))
            file.create_virtual_dataset("Ia", layout)
        else:
            file["Ia"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
    refused((tmp_path / "a.mat").read_bytes(), "signal_no_numbers" if kind == "link" else "signal_damaged")


def workbook(change):
    """A workbook of one row, some of whose parts are changed."""
    import openpyxl

    book = openpyxl.Workbook()
    names = row("audio/a.wav")
    book.active.append(list(names))
    book.active.append(list(names.values()))
    stream = io.BytesIO()
    book.save(stream)
    changed = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        parts = {name: old.read(name) for name in old.namelist()}
        for name, data in change(parts).items():
            new.writestr(name, data)
    return changed.getvalue()


def sheet(entity, word="&x;"):
    """A change that declares an entity in the sheet and uses it for the path of the recording."""

    def change(parts):
        name = "xl/worksheets/sheet1.xml"
        declared = b"<!DOCTYPE worksheet [" + entity + b"]><worksheet"
        held = parts[name].replace(b"<worksheet", declared, 1).replace(b"audio/a.wav", word.encode())
        assert word.encode() in held
        return parts | {name: held}

    return change


LAUGHS = b'<!ENTITY x0 "ha">' + b"".join(
    b'<!ENTITY x%d "%s">' % (n, b"&x%d;" % (n - 1) * 10) for n in range(1, 12)
)


def test_a_workbook_reads_no_other_file_and_does_not_swell(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    cases = {
        "external entity": sheet(f'<!ENTITY x SYSTEM "file://{secret}">'.encode()),
        "laughs": sheet(LAUGHS, "&x11;"),
    }
    for change in cases.values():
        try:
            found = normalize(read_table(workbook(change), "metadata.xlsx"))
            told = found.frame.to_csv() + " ".join(map(str, found.problems))
        except TableRefused as error:
            told = str(error)
        assert "the secret" not in told
        assert len(told) < 100_000


def test_external_links_of_a_workbook_are_not_followed(tmp_path):
    def change(parts):
        link = b'<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        link += b'<Relationship Id="rId1" Type="externalLink" TargetMode="External" Target="file:///etc/passwd"/>'
        return parts | {"xl/externalLinks/_rels/externalLink1.xml.rels": link + b"</Relationships>"}

    found = read_table(workbook(change), "metadata.xlsx")
    assert found.frame["relative_path"].tolist() == ["audio/a.wav"]


@pytest.mark.parametrize("cell", ["[" * 100_000, '{"a":' * 20_000, "9" * 60_000, '{"a": ' + "1" * 5_000 + "}"])
def test_json_that_is_a_bomb_is_a_problem_of_its_cell(cell):
    data = table([row("audio/a.wav", operating_condition=cell, anomaly_regions=cell, snr_db=cell)])
    found = normalize(read_table(data, "metadata.csv"))
    assert {problem.column for problem in found.problems} >= {"operating_condition", "anomaly_regions", "snr_db"}
