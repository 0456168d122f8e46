"""Whole files, made in code, that fuzzing starts from: small, and of every kind that a reader knows."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from functools import cache

import numpy as np

from tests.packages import audio, hum, row, table

SHEET = (
    b'<sheet name="a" sheetId="9" r:id="rId1" '
    b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"/>'
)
"""One more sheet of a workbook, which is the first one's part again."""

_RATE = 16_000
_PHASE_POINTS = 300


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """The seeds of a target: ``archive``, ``table``, ``audio`` or ``signals``."""
    return tuple({"archive": _archives, "table": _tables, "audio": _sounds, "signals": _signals}[target]())


def _zip(entries: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED, *, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        archive.comment = comment
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 3, 4, 9, 0, 0)), data, compress_type=how)
    return stream.getvalue()


def _archives() -> Iterator[bytes]:
    sound = audio(hum(1, seconds=0.05))
    plain = {"metadata.csv": table([row("audio/a.wav"), row("audio/b.wav")]), "audio/a.wav": sound}
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield _zip({**plain, "audio/b.wav": sound}, how)
    yield _zip({f"보낸 자료/{name}": data for name, data in plain.items()} | {"__MACOSX/._a": b"x"}, comment=b"PK")
    korean = _zip({"XXXXXXXX/a.wav": sound, "metadata.csv": plain["metadata.csv"]})
    yield korean.replace(b"XXXXXXXX", "녹음자료".encode("cp949"))
    yield _streamed(plain)
    yield _zip({"audio/inner.zip": _zip(plain), "metadata.csv": b"relative_path\n", "audio/": b""})
    link = zipfile.ZipInfo("audio/link.wav")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "../../../outside")
        archive.writestr("..\\..\\outside.wav", sound)
        archive.writestr("/tmp/outside.wav", sound)
    yield stream.getvalue()
    yield _zip64(plain)


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")


def _streamed(entries: dict[str, bytes]) -> bytes:
    """Sizes behind the data, as programs write that send a zip down a pipe."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return pipe.getvalue()


def _zip64(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    whole = stream.getvalue()
    end = whole.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", whole, end + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return whole[:end] + record + locator + whole[end:]


_ROWS = [
    row("audio/a.wav", split="train", label="normal", snr_db="-3,5", operating_condition='{"rpm": 1500}'),
    row("audio\\b.wav", split="test", label="anomaly", anomaly_regions="[[0.5, 1.5]]", domain="target"),
    row("signals/c.csv", modality="current", sample_rate_hz="10 kHz", channels="Ia,Ib,Ic", recorded_at="45000.5"),
    row("audio/d.wav", split="supplemental", supp_type="noise", recorded_at="2025. 3. 4. 오후 3:05", label=""),
]


def _tables() -> Iterator[bytes]:
    whole = table(_ROWS)
    yield whole
    text = whole.decode("utf-8-sig")
    yield text.encode("cp949")
    yield text.encode("utf-16")
    yield text.replace(",", ";").encode()
    yield text.replace(",", "\t").encode()
    korean = text.replace("relative_path", "파일 경로").replace("machine_type", "설비 종류")
    yield ("보내는 표\n\n" + korean.replace("section_id", "설비 번호")).encode("cp949")
    yield b'relative_path,machine_type,section_id,recorded_at\n"audio/a ""b"".wav",fan,="007",2025-03-04\n'
    yield from _workbooks()
    yield swollen("xl/workbook.xml", b"</sheets>", 3 * SHEET)
    yield swollen("xl/worksheets/sheet1.xml", b"</sheetData>", b"<!-- <c><f>1</f> <v <v --><row/>")


def _workbooks() -> Iterator[bytes]:
    import datetime

    import openpyxl

    names = list(dict.fromkeys(name for item in _ROWS for name in item))
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(names)
    for item in _ROWS:
        sheet.append([item.get(name) for name in names])
    sheet.append(["audio/e.wav", "fan", 1, datetime.datetime(2025, 3, 4, 9, 5), True])
    sheet["B7"] = "=A1&A2"
    sheet.merge_cells("B2:B4")
    stream = io.BytesIO()
    book.save(stream)
    yield stream.getvalue()
    book.create_sheet("둘째")["A1"] = 1e300
    stream = io.BytesIO()
    book.save(stream)
    yield stream.getvalue()


def swollen(part: str, before: bytes, more: bytes) -> bytes:
    """A small workbook with more XML in one of its parts, before the first place that reads so."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(next(_workbooks()))) as old, zipfile.ZipFile(stream, "w", 8) as book:
        for name in old.namelist():
            held = old.read(name)
            if name == part:
                assert before in held
                held = held.replace(before, more + before, 1)
            book.writestr(zipfile.ZipInfo(name), held, compress_type=8)
    return stream.getvalue()


_SOUNDS = [
    ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 2), ("WAV", "FLOAT", 1), ("WAV", "DOUBLE", 2), ("WAV", "PCM_U8", 1),
    ("WAV", "ULAW", 1), ("WAV", "IMA_ADPCM", 1), ("WAV", "MS_ADPCM", 2), ("WAV", "GSM610", 1),
    ("WAVEX", "PCM_16", 4),
    ("RF64", "PCM_16", 1), ("W64", "PCM_24", 1), ("FLAC", "PCM_16", 2), ("FLAC", "PCM_24", 1),
    ("OGG", "VORBIS", 2),
    ("OGG", "OPUS", 1), ("AIFF", "PCM_16", 1), ("AIFF", "FLOAT", 2), ("AIFF", "IMA_ADPCM", 1),
    ("CAF", "ALAC_16", 1),
    ("CAF", "PCM_16", 2), ("AU", "PCM_16", 1), ("AU", "ULAW", 1), ("MP3", "MPEG_LAYER_III", 1),
    ("NIST", "PCM_16", 1),
    ("SVX", "PCM_16", 1), ("VOC", "PCM_16", 1), ("IRCAM", "PCM_16", 1), ("MAT5", "PCM_16", 1),
    ("MAT4", "FLOAT", 1),
    ("PVF", "PCM_16", 1), ("HTK", "PCM_16", 1), ("SDS", "PCM_16", 1), ("AVR", "PCM_16", 1), ("WVE", "ALAW", 1),
    ("MPC2K", "PCM_16", 1), ("PAF", "PCM_16", 1), ("XI", "DPCM_16", 1),
]  # fmt: skip


def _sounds() -> Iterator[bytes]:
    import soundfile as sf

    for form, subtype, channels in _SOUNDS:
        rate = 8_000 if form == "WVE" else _RATE
        sound = (
            hum(3, seconds=1.05, rate=rate) if form in ("WAV", "FLAC") and channels == 1 else hum(3, seconds=0.1)
        )
        block = np.repeat(sound[:, None], channels, 1)
        try:
            yield audio(block, rate=rate, form=form, subtype=subtype)
        except (sf.LibsndfileError, ValueError):  # a build of libsndfile that cannot write it
            continue
    wav = audio(hum(4, seconds=0.2))
    yield wav[:4] + b"\0\0\0\0" + wav[8:40] + b"\0\0\0\0" + wav[44:]


def _signals() -> Iterator[bytes]:
    import pandas as pd
    import scipy.io

    time = np.arange(_PHASE_POINTS) / 2_000
    phases = {f"I{name}": 3 * np.cos(314.16 * time - place * 2.094) for place, name in enumerate("abc")}
    matrix = np.stack(list(phases.values()), 1)
    frame = pd.DataFrame({"time": time, **phases})
    stamps = pd.Timestamp("2025-03-04 09:00") + pd.to_timedelta(time, unit="s")

    yield from _texts(frame)
    for array in (matrix, matrix.T.astype(np.float32), np.rec.fromarrays([time, matrix[:, 0]], names="t,Ia")):
        yield _saved(lambda stream, array=array: np.save(stream, array))
    yield _saved(lambda stream: frame.to_parquet(stream, index=False))
    yield _saved(lambda stream: frame.assign(time=stamps).to_parquet(stream, compression="zstd"))
    for packed in (False, True):
        held = {
            "fs": 2_000.0,
            **phases,
            "note": "motor",
            "deep": {"x": matrix},
            "cell": np.array([1, "a"], object),
        }
        yield _saved(
            lambda stream, held=held, packed=packed: scipy.io.savemat(stream, held, do_compression=packed)
        )
    yield _saved(lambda stream: scipy.io.savemat(stream, {"X": matrix}, format="4"))
    yield _hdf5(phases)
    yield audio(matrix.astype(np.float32) / 4, rate=2_000, subtype="FLOAT")


def _saved(save) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _texts(frame) -> Iterator[bytes]:
    plain = frame.head(60).to_csv(index=False)
    yield plain.encode()
    yield frame.head(60).to_csv(index=False, sep=";", decimal=",").encode("utf-8-sig")
    yield frame.head(60).to_csv(index=False, header=False, sep=" ").encode()
    yield plain.encode("utf-16")
    dated = frame.head(40).assign(time=[f"2025-03-04 23:59:{second:06.3f}" for second in np.arange(40) * 1.4])
    yield dated.to_csv(index=False).encode("cp949")
    scope = "Record Length,60,Points,{},{}\nSample Interval,0.0005,s,{},{}\n"
    yield (
        scope.encode()
        + "\n".join(f",,,{t:.6f},{x:.4f}" for t, x in frame.head(60)[["time", "Ia"]].values).encode()
    )
    yield ("# fs = 2000 Hz\n시간[ms];U상 [A]\n" + "\n".join(f"{k};{k % 7}" for k in range(60))).encode("cp949")
    yield json.dumps(frame.head(5).to_dict("list")).encode()


def _hdf5(phases: dict[str, np.ndarray]) -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, values in phases.items():
            file[name] = values[None, :]
        file["packed"] = file["Ia"][...]
        group = file.create_group("deep")
        group.create_dataset("Ib", data=phases["Ib"], chunks=(50,), compression="gzip")
        file["fs"] = np.array([[2_000.0]])
        file["Ia"].attrs["MATLAB_class"] = np.bytes_("double")
    return stream.getvalue()
