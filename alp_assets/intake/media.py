"""Which files of a package are recordings."""

from __future__ import annotations

from pathlib import PurePosixPath

MEDIA_FOLDERS = ("audio", "signals")
_AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff"})
_SIGNAL_SUFFIXES = frozenset({".csv", ".npy", ".parquet", ".mat"})

_PACKED_SUFFIXES = frozenset({".zip", ".7z", ".rar", ".gz", ".tar", ".alz", ".egg"})


def is_media(name: str) -> bool:
    """Whether a file is one, by its folder or its extension."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in _PACKED_SUFFIXES:
        return False
    in_folder = len(path.parts) > 1 and path.parts[0].lower() in MEDIA_FOLDERS
    return in_folder or suffix in _AUDIO_SUFFIXES | _SIGNAL_SUFFIXES
