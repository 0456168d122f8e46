"""The decoder of sound, made to break over files that say so at their end."""

from __future__ import annotations

from alp_assets.audio import decode
from alp_assets.audio.decode import prepare
from tests.sandbox.jobs import _misbehave

__all__ = ["prepare", "serve"]


def serve(stream, request):
    mark = stream.read()[-8:]
    stream.seek(0)
    if mark.startswith(b"!"):
        yield from _misbehave(mark[1:].decode().strip("\0"))
    yield from decode.serve(stream, request)
