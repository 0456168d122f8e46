"""Whether a MATLAB file of version 5 holds what its tags say, before SciPy reads it.

SciPy's reader takes the kind of an element for an index without looking whether there is such a kind, and reads on
beyond a variable that lacks elements: a crafted file crashes the process.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_LETTERS = _NUMBERS | {16, 17, 18}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE = 1, 2, 3, 4, 5
_FIRST_NUMERIC, _LAST_NUMERIC = 6, 15
_COMPLEX = 0x0800
_DEEPEST = 20
_HEADER = 128
_PIECE = 1 << 20
_SHORT = 1 << 16
"""Sizes and names of fields are shorter than this."""


class Damaged(ValueError):
    """A file whose elements are not what they should be."""


def check_elements(stream: BinaryIO) -> None:
    """Go through the elements of all variables of numbers and structs, from the beginning of the file.

    Raises:
        Damaged: one has an impossible kind, is cut short, or lacks a part.
    """
    header = stream.read(_HEADER)
    order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
    if order is None:
        return  # of version 4, or none that SciPy reads
    size = stream.seek(0, io.SEEK_END)
    at = _HEADER
    while at + 8 <= size:
        stream.seek(at)
        kind, length = struct.unpack(f"{order}II", stream.read(8))
        if length > size - at - 8:
            raise Damaged("a variable is cut short")
        if kind == _MATRIX:
            _check_matrix(_Part(stream, length), order, length, 0)
        elif kind == _COMPRESSED:
            part = _Part(_Inflated(stream, length), 1 << 62)
            kind, inner = struct.unpack(f"{order}II", part.read(8))
            if kind != _MATRIX:
                raise Damaged(f"a variable of the kind {kind}")
            _check_matrix(part, order, inner, 0)
        else:
            raise Damaged(f"a variable of the kind {kind}")
        at += 8 + length


class _Part:
    """A stretch of a stream that is read from front to back."""

    def __init__(self, stream: BinaryIO | _Inflated, size: int) -> None:
        self._stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        """So many bytes."""
        data = self._stream.read(size) if size <= self.left else b""
        if len(data) != size:
            raise Damaged("an element is cut short")
        self.left -= size
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        if size > self.left:
            raise Damaged("an element is cut short")
        while size > 0:
            size -= len(self.read(min(size, _PIECE)))


class _Inflated:
    """What a compressed element of a stream holds; no more of it is kept than is asked for."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream, self._left = stream, length
        self._inflate = zlib.decompressobj()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Up to so many bytes."""
        found = b""
        try:
            while len(found) < size and not self._inflate.eof:
                if not self._packed and self._left:
                    self._packed = self._stream.read(min(self._left, _PIECE))
                    self._left -= len(self._packed)
                piece = self._inflate.decompress(self._packed, size - len(found))
                self._packed = self._inflate.unconsumed_tail
                found += piece
                if not piece and not self._packed and not self._left:
                    break
        except zlib.error as error:
            raise Damaged(f"a compressed variable is damaged ({error})") from error
        return found


def _check_matrix(part: _Part, order: str, length: int, depth: int) -> None:
    """Go through the elements of a matrix of ``length`` bytes."""
    if not length:
        return
    if depth > _DEEPEST:
        raise Damaged("structs lie too deep inside each other")
    inside = _Inside(part, length, order)
    flags = inside.element({6})
    if len(flags) < 8:
        raise Damaged("a variable without flags")
    (flag,) = struct.unpack_from(f"{order}I", flags)
    kind = flag & 0xFF
    numeric = _FIRST_NUMERIC <= kind <= _LAST_NUMERIC
    if not (numeric or kind in (_CELL, _STRUCT, _CHAR, _SPARSE)):
        inside.skip_rest()  # of objects and functions SciPy reads nothing that is asked for
        return
    sizes = inside.element({5, 6})
    inside.element({1, 2, 16})
    if numeric or kind in (_CHAR, _SPARSE):
        for _ in range((3 if kind == _SPARSE else 1) + bool(flag & _COMPLEX)):
            inside.element(_LETTERS if kind == _CHAR else _NUMBERS, kept=False)
    else:
        count = 1
        for (dimension,) in struct.iter_unpack(f"{order}i", sizes[: len(sizes) // 4 * 4]):
            count *= max(dimension, 0)
        if kind == _STRUCT:
            width = inside.element({5, 6})
            names = inside.element({1})
            size = struct.unpack_from(f"{order}i", width)[0] if len(width) >= 4 else 0
            if size < 1:
                raise Damaged("a struct whose fields have no names")
            count *= len(names) // size
        if count > length // 8:
            raise Damaged(f"{count} parts in {length} bytes")
        for _ in range(count):
            inside.matrix(depth + 1)
    inside.skip_rest()


class _Inside:
    """The elements of one matrix, one after the other."""

    def __init__(self, part: _Part, length: int, order: str) -> None:
        self._part, self._order, self._left = part, order, length

    def element(self, kinds: frozenset[int] | set[int], *, kept: bool = True) -> bytes:
        """The content of the next element, which is of one of these kinds; empty where it is not to be kept."""
        kind, size, small = self._tag()
        if kind not in kinds:
            raise Damaged(f"an element of the kind {kind}")
        if small is not None:
            return small[:size]
        if kept and size > _SHORT:
            raise Damaged(f"{size} bytes of names or sizes")
        data = self._take(size) if kept else b""
        if not kept:
            self._skip(size)
        self._skip(min(-size % 8, self._left))
        return data

    def matrix(self, depth: int) -> None:
        """Go through the next element, which is a matrix."""
        kind, size, small = self._tag()
        if kind != _MATRIX or small is not None or size > self._left:
            raise Damaged(f"an element of the kind {kind} in place of a matrix")
        _check_matrix(self._part, self._order, size, depth)
        self._left -= size

    def skip_rest(self) -> None:
        """Pass over what is left of the matrix."""
        self._skip(self._left)

    def _tag(self) -> tuple[int, int, bytes | None]:
        """Kind and size of the next element; also its content where that lies in the tag itself."""
        start = self._take(8)
        kind, size = struct.unpack(f"{self._order}II", start)
        if kind >> 16:
            if kind >> 16 > 4:
                raise Damaged("a small element that is not small")
            return kind & 0xFFFF, kind >> 16, start[4:]
        if size > self._left:
            raise Damaged("an element is cut short")
        return kind, size, None

    def _take(self, size: int) -> bytes:
        if size > self._left:
            raise Damaged("an element is cut short")
        self._left -= size
        return self._part.read(size)

    def _skip(self, size: int) -> None:
        self._left -= size
        self._part.skip(size)
