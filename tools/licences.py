"""Under which licences ALP's dependencies are, and whether ALP may use them: ``docs/licences.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LIST = PROJECT / "docs" / "licences.md"

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT",
        "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", "ZPL-2.1",
    }
)  # fmt: skip
"""Licences that ask for no more than to be named, and MPL-2.0, which asks for changes to its own files alone."""

EXCEPTIONS = {
    "asyncssh": "EPL-2.0 or GPL-2.0-or-later; taken under EPL-2.0, unmodified, brought by DVC for SSH remotes",
    "atheris": "Apache-2.0 by its licence file, which its metadata does not tell; for fuzzing alone",
    "grandalf": "GPL-2.0 or EPL-1.0; taken under EPL-1.0, unmodified, brought by DVC to draw graphs",
    "psycopg": "LGPL-3.0, an unmodified library, of the optional extras postgres and cluster alone",
    "psycopg-binary": "LGPL-3.0, an unmodified library, of the optional extras postgres and cluster alone",
    "psycopg2-binary": "LGPL with exceptions, an unmodified library, of the optional extra cluster alone",
    "pygit2": "GPL-2.0 with an exception for linking: software that uses it may have any licence; brought by DVC",
    "soxr": "LGPL-2.1-or-later, an unmodified library that can be exchanged for another build",
}
"""Packages under other licences, each with the reason why it is used all the same."""

BUNDLED = {
    "soundfile": "libsndfile, LGPL-2.1-or-later, unmodified",
    "h5py": "HDF5, BSD-3-Clause",
    "psycopg-binary": "libpq, PostgreSQL licence",
    "psycopg2-binary": "libpq, PostgreSQL licence",
    "numpy": "OpenBLAS, BSD-3-Clause; GCC's runtime, GPL-3.0 with the runtime exception",
    "scipy": "OpenBLAS, BSD-3-Clause; GCC's runtime, GPL-3.0 with the runtime exception",
}
"""Libraries inside wheels whose licence is another than the package's."""

_NAMES = {
    "MIT License": "MIT", "MIT": "MIT", "BSD License": "BSD-3-Clause", "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause", "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0", "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Zope Public License": "ZPL-2.1", "The Unlicense (Unlicense)": "Unlicense",
}  # fmt: skip
_OF_CUDA = re.compile(r"nvidia-|cuda-|triton$")


@dataclass(frozen=True)
class Package:
    """A package that is installed, and its licence as its metadata says it, in SPDX terms where it can be told."""

    name: str
    licence: str

    @property
    def allowed(self) -> bool:
        """Whether ALP may use it: by its licence or by an exception."""
        return self.name in EXCEPTIONS or is_allowed(self.licence)


def packages() -> list[Package]:
    """What is installed of the lock, by name; NVIDIA's libraries of PyTorch's CUDA build left out."""
    found = {_normal(item.name): item for item in distributions() if item.name}
    names = sorted(name for name in found.keys() & locked() if not _OF_CUDA.match(name))
    return [Package(name, _licence(found[name])) for name in names]


def locked() -> set[str]:
    """The names in requirements.lock."""
    text = (PROJECT / "requirements.lock").read_text()
    return {_normal(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def listed() -> set[str]:
    """The names in the list on disk."""
    return set(re.findall(r"^\| ([\w.-]+) \|", LIST.read_text(), re.MULTILINE)) - {"package"}


def is_allowed(licence: str) -> bool:
    """Whether an SPDX expression can be met with allowed licences alone."""
    text = re.sub(r" WITH [\w.-]+", "", licence)
    text = re.sub(r"[\w.+-]+", lambda word: _truth(word[0]), text)
    while "(" in text:
        inner = re.sub(r"\(([^()]*)\)", lambda part: "1" if _either(part[1]) else "0", text)
        if inner == text:
            return False
        text = inner
    return _either(text)


def markdown() -> str:
    """The list as it is kept in the documentation."""
    rows = "\n".join(f"| {item.name} | {item.licence} |" for item in packages())
    excepted = "\n".join(f"- **{name}**: {why}." for name, why in sorted(EXCEPTIONS.items()))
    bundled = "\n".join(f"- **{name}** holds {what}." for name, what in sorted(BUNDLED.items()))
    return _PAGE.format(rows=rows, excepted=excepted, bundled=bundled, allowed=", ".join(sorted(ALLOWED)))


_PAGE = """# Licences of what ALP is built on

Made by `make audit` from the metadata of the installed packages, extras and development tools included; a test
holds it up to date. ALP itself is under Apache-2.0. `build/sbom.json`, made by the same command, has the versions
and hashes (CycloneDX).

Allowed without asking: {allowed}.

## Exceptions

{excepted}

## Libraries inside packages

{bundled}

PyTorch's CUDA build, which is installed where there is an NVIDIA driver, brings NVIDIA's libraries under NVIDIA's
own terms.

## Packages

| package | licence |
|---|---|
{rows}
"""


def _licence(item: Distribution) -> str:
    meta = item.metadata
    expression = meta.get("License-Expression")
    if expression:
        return str(expression)
    told = [_last(text) for text in meta.get_all("Classifier", []) if text.startswith("License ::")]
    names = [text for text in told if text != "OSI Approved"] or [*_first_line(meta.get("License"))]
    return " OR ".join(sorted({_NAMES.get(name, name) for name in names})) or "not told"


def _last(classifier: str) -> str:
    return classifier.rpartition(" :: ")[2]


def _first_line(text: str | None) -> Iterator[str]:
    if text and text.strip():
        yield text.strip().splitlines()[0][:60]


def _truth(word: str) -> str:
    return word if word in ("AND", "OR") else "1" if word in ALLOWED else "0"


def _either(text: str) -> bool:
    """Of ones and zeros with AND between them, and OR between those."""
    return any(all(word.strip() == "1" for word in part.split(" AND ")) for part in text.split(" OR "))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
