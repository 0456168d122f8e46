"""Spoiling whole files: bytes anywhere, and the fields, parts and cells that their formats are made of."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

LONGEST = 1 << 20
_USUALLY = 1 << 15
_SHARE_LONG = 0.02

_NUMBERS = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
    0xFFFFFFFF, 1 << 32, 1 << 48, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
)  # fmt: skip
_WORDS = {
    "archive": (
        b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"../", b"..\\",
        b"/etc/passwd", b"C:\\", b"\0", b"audio/", b"metadata.csv", b"\x75\x70", b"\x01\x00\x10\x00", b"\xb0\xa1",
    ),
    "table": (
        b",", b";", b"\t", b'"', b'""', b"\r", b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"=",
        b'="', b"+",
        b"fan", b"train", b"target", b"anomaly", b"{", b"[[", b"null", b"NaN", b"Infinity", b"-1e999", b"1e308",
        b"9" * 400, b"2025-02-30", b"0001-01-01", b"99999-01-01", b"45000", b"-45000.7", b"1e20", b"60",
        "오후 25:61".encode(), "예".encode(), b"relative_path", b"../../x", b"[" * 200,
        b'{"a":' * 200, b"\xa4\xa1",
        b"<f>", b"<v>", b"<v ", b"<xf/>", b"<si/>", b"<sheet ", b"<!--", b"-->",
        b"<c r=\"A1\" t=\"s\"><v>99999999</v></c>", b"<!DOCTYPE a [<!ENTITY x \"y\">]>", b"&x;",
        b"&#0;", b"&#55296;", b' ref="A1:XFD1048576"', b' t="d"', b' t="e"', b' t="n"', b' t="inlineStr"',
    ),
    "audio": (
        b"RIFF", b"RF64", b"WAVE", b"fmt ", b"data", b"fact", b"LIST", b"ds64", b"PEAK", b"cue ", b"smpl", b"bext",
        b"fLaC", b"OggS", b"OpusHead", b"\x01vorbis", b"\x03vorbis", b"FORM", b"AIFF", b"AIFC", b"COMM", b"SSND",
        b"caff", b"desc", b"kuki", b"pakt", b".snd", b"ID3", b"\xff\xfb", b"\xff\xf8", b"\xfe\xff", b"\x11\x00",
    ),
    "signals": (
        b",", b";", b"\t", b" ", b"\n", b"\r", b'"', b"nan", b"inf", b"-inf", b"1e400", b"1d5", b"9.9e37",
        b"#", b"\0",
        b"time", b"fs", b"dt", b"date", b"23:59:59", b"2025-13-45 25:00", "오후 3:05".encode(),
        b"\x93NUMPY\x01\x00",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 100), }", b"'|O'", b"'<U9'", b"'<c16'", b"PAR1",
        b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP", b"\x0f\0\0\0",
        b"\x0e\0\0\0",
    ),
}  # fmt: skip


class Mutator:
    """Files of a target that differ from the seeds, each a function of the random numbers alone."""

    def __init__(self, target: str, seeds: Sequence[bytes], chance: random.Random) -> None:
        self._seeds, self._chance, self._words = seeds, chance, _WORDS[target]
        self._formats: dict[str, list[Callable[[bytes], bytes]]] = {
            "archive": [self._zip_field, self._zip_entries],
            "table": [self._cell, self._part],
            "audio": [self._chunk, self._page],
            "signals": [self._cell, self._packed, self._chunk],
        }
        self._own = self._formats[target]
        self._most = _USUALLY

    def one(self) -> bytes:
        """A spoilt seed, ``LONGEST`` bytes at most."""
        return self.spoilt(self._chance.choice(self._seeds))

    def spoilt(self, data: bytes) -> bytes:
        """A file spoilt in a few places, ``LONGEST`` bytes at most."""
        chance = self._chance
        self._most = LONGEST if chance.random() < _SHARE_LONG else max(_USUALLY, len(data))
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            how = chance.choice(self._own) if chance.random() < 0.45 else chance.choice(_PLAIN)
            data = how(data) if how in self._own else how(self, data)
            data = data[: self._most]
        return data

    def _place(self, data: bytes) -> int:
        """Anywhere, and often where headers and directories are."""
        chance = self._chance
        if not data:
            return 0
        near = chance.choice((len(data), len(data), 64, 512))
        at = chance.randrange(min(near, len(data)))
        return len(data) - 1 - at if chance.random() < 0.25 else at

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._place(data)
        return data[:at] + bytes([data[at] ^ (1 << self._chance.randrange(8))]) + data[at + 1 :]

    def _byte(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._chance.randbytes(1) + data[at + 1 :]

    def _number(self, data: bytes) -> bytes:
        """Another number of 2, 4 or 8 bytes, in either order."""
        size, code = self._chance.choice(((2, "H"), (4, "I"), (4, "I"), (8, "Q")))
        at, order = self._place(data), self._chance.choice("<>")
        if at + size > len(data):
            return data
        (found,) = struct.unpack_from(order + code, data, at)
        near = found + self._chance.randint(-16, 16)
        value = (near if self._chance.random() < 0.4 else self._chance.choice(_NUMBERS)) % (1 << 8 * size)
        return data[:at] + struct.pack(order + code, value) + data[at + size :]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _drop(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + data[at + self._chance.choice((1, 2, 4, 8, 64, 1024)) :]

    def _repeat(self, data: bytes) -> bytes:
        """A piece again and again: what grows with the square of its length shows."""
        at, size = self._place(data), self._chance.choice((1, 2, 4, 16, 100, 1000))
        times = self._chance.choice((1, 2, 10, 1_000, 100_000))
        return data[:at] + data[at : at + size] * min(times, self._most // size) + data[at:]

    def _word(self, data: bytes) -> bytes:
        at, word = self._place(data), self._chance.choice(self._words)
        if self._chance.random() < 0.05:
            word *= min(self._chance.choice((10, 1_000, 50_000)), self._most // len(word))
        return data[:at] + word + data[at + (len(word) if self._chance.random() < 0.5 else 0) :]

    def _splice(self, data: bytes) -> bytes:
        other = self._chance.choice(self._seeds)
        return data[: self._place(data)] + other[self._place(other) :]

    def _move(self, data: bytes) -> bytes:
        here, there, size = self._place(data), self._place(data), self._chance.choice((1, 4, 16, 256))
        return data[:here] + data[there : there + size] + data[here + size :]

    def _zip_field(self, data: bytes) -> bytes:
        """Another number in one of a zip's headers."""
        places = [
            found.start() for found in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06|\x06\x06|\x06\x07)", data)
        ]
        if not places:
            return data
        at = self._chance.choice(places) + 4 + 2 * self._chance.randrange(21)
        size, code = self._chance.choice(((2, "<H"), (4, "<I")))
        value = self._chance.choice(_NUMBERS) % (1 << 8 * size)
        return data[:at] + struct.pack(code, value) + data[at + size :]

    def _zip_entries(self, data: bytes) -> bytes:
        """A zip whose headers hold, of entries with spoilt names and contents."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                found = [(info.orig_filename, archive.read(info)) for info in archive.infolist()[:20]]
        except Exception:  # spoilt already, in any of the ways that this is here to make
            return data
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", self._chance.choice((0, 8))) as archive:
            for name, held in found:
                if self._chance.random() < 0.5:
                    name = self._name(name)
                archive.writestr(
                    zipfile.ZipInfo(name or "x"), self._flip(held) if self._chance.random() < 0.2 else held
                )
        return stream.getvalue()

    def _name(self, name: str) -> str:
        chance = self._chance
        odd = (
            "../",
            "..\\",
            "/",
            "C:",
            "\u202e",
            "con",
            "\x7f",
            "./",
            "//",
            "가",
            "\u1100\u1161",
            "a" * 5_000,
            "\ud800",
        )
        at = chance.randrange(len(name) + 1)
        changed = name[:at] + chance.choice(odd) + name[at + chance.randrange(3) :]
        return changed.encode("utf-8", "replace").decode()[:60_000]

    def _cell(self, data: bytes) -> bytes:
        """Another cell of a text with separators; of a workbook, of one of its parts."""
        if data.startswith(b"PK"):
            return self._part(data)
        marks = [found.start() for found in re.finditer(rb"[,;\t\n ]", data[:20_000])]
        if len(marks) < 2:
            return self._word(data)
        at = self._chance.randrange(len(marks) - 1)
        return data[: marks[at] + 1] + self._chance.choice(self._words) + data[marks[at + 1] :]

    def _part(self, data: bytes) -> bytes:
        """A workbook that is whole as a zip, with one of its parts spoilt."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as book:
                parts = {info.filename: book.read(info) for info in book.infolist()[:40]}
        except Exception:
            return data
        names = sorted(parts)
        if not names:
            return data
        name = self._chance.choice([item for item in names if re.search("sheet|shared|styles", item)] or names)
        if self._chance.random() < 0.3:
            name = self._chance.choice(names)
        parts[name] = self._tag(parts[name])[: self._most]
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as book:
            for item, held in parts.items():
                book.writestr(zipfile.ZipInfo(item), held)
        return stream.getvalue()

    def _tag(self, data: bytes) -> bytes:
        chance = self._chance
        if chance.random() < 0.4:
            return chance.choice(_PLAIN)(self, data)
        tags = [found.span() for found in re.finditer(rb'"[^"]*"|>[^<]+<|<[^>]+>', data[:50_000])]
        if not tags:
            return data
        start, end = chance.choice(tags)
        if chance.random() < 0.3:
            return (
                data[:start]
                + data[start:end] * min(chance.choice((0, 2, 1_000)), self._most // (end - start))
                + data[end:]
            )
        return data[: start + 1] + chance.choice(self._words) + data[end - 1 :]

    def _chunk(self, data: bytes) -> bytes:
        """A chunk of a RIFF or FORM gone, doubled, resized or filled otherwise."""
        if data[:4] not in (b"RIFF", b"RF64", b"FORM", b"caff"):
            return self._number(data)
        order = ">" if data[:4] in (b"FORM", b"caff") else "<"
        places, at = [], 12
        while at + 8 <= len(data) and len(places) < 50:
            (size,) = struct.unpack_from(f"{order}I", data, at + 4)
            places.append((at, min(at + 8 + size + size % 2, len(data))))
            at += 8 + size + size % 2
        if not places:
            return data
        start, end = self._chance.choice(places)
        piece = data[start:end]
        match self._chance.randrange(4):
            case 0:
                return data[:start] + data[end:]
            case 1:
                return (
                    data[:end]
                    + piece * min(self._chance.choice((1, 3, 1_000)), self._most // len(piece))
                    + data[end:]
                )
            case 2:
                size = struct.pack(f"{order}I", self._chance.choice(_NUMBERS) % (1 << 32))
                return data[: start + 4] + size + data[start + 8 :]
            case _:
                return data[: start + 8] + self._number(piece[8:]) + data[end:]

    def _page(self, data: bytes) -> bytes:
        """An Ogg stream spoilt inside a page, whose checksum is right again."""
        places = [found.start() for found in re.finditer(b"OggS", data)]
        if not data.startswith(b"OggS") or not places:
            return self._number(data)
        start = self._chance.choice(places)
        end = next((place for place in places if place > start), len(data))
        page = bytearray(
            self._number(data[start:end]) if self._chance.random() < 0.5 else self._flip(data[start:end])
        )
        if len(page) >= 27:
            page[22:26] = b"\0\0\0\0"
            page[22:26] = struct.pack("<I", _ogg_checksum(bytes(page)))
        return data[:start] + bytes(page) + data[end:]

    def _packed(self, data: bytes) -> bytes:
        """A compressed element of a MATLAB file, spoilt inside."""
        if not data.startswith(b"MATLAB"):
            return self._number(data)
        whole, at, elements = data[:128], 128, []
        while at + 8 <= len(data):
            kind, size = struct.unpack_from("<II", data, at)
            elements.append((kind, data[at + 8 : at + 8 + size]))
            at += 8 + size
        if not elements:
            return data
        chosen = self._chance.randrange(len(elements))
        for place, (kind, held) in enumerate(elements):
            if place == chosen and kind == 15:
                try:
                    held = zlib.compress(self._number(self._flip(zlib.decompress(held))))
                except zlib.error:
                    held = self._flip(held)
            elif place == chosen:
                held = self._number(held)
            whole += struct.pack("<II", kind, len(held)) + held
        return whole


_PLAIN = (
    Mutator._flip, Mutator._flip, Mutator._byte, Mutator._number, Mutator._number, Mutator._number, Mutator._cut,
    Mutator._drop, Mutator._repeat, Mutator._word, Mutator._splice, Mutator._move,
)  # fmt: skip


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_OGG = _ogg_table()


def _ogg_checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _OGG[(value >> 24) ^ byte]
    return value
