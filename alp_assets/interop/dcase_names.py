"""The names that DCASE Task 2 gives its files from 2020 on, which MIMII DUE and DG share.

- 2020: ``normal_id_00_00000000.wav``, ``anomaly_id_...`` in ``train`` and ``test``; ``id_01_00000000.wav`` where
  the label is kept back.
- from 2021: ``section_00_source_train_normal_0000_<attributes>.wav``. Tests lie in ``source_test`` and
  ``target_test`` in 2021, in ``test`` afterwards.
- kept back: ``section_03_source_test_0000.wav`` (2021), ``section_00_test_0000.wav`` or ``section_00_0000.wav``.
- from 2025: ``section_00_machine_0001_<attributes>.wav`` or ``section_00_noise_...`` in ``supplemental``, with the
  domain before the number where it is told.

After the baselines nttcslab/dcase2023_task2_baseline_ae (2023 to 2026), dcase2022_task2_baseline_ae,
dcase2021_task2_baseline_ae and dcase2020_task2_baseline.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FOLDERS = ("train", "test", "source_test", "target_test", "supplemental")
"""Folders below a machine's that hold recordings."""

_BY_ID = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d+)_\d+")
_TOLD = re.compile(
    r"section_(?P<section>\d+)_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)_\d+"
    r"(?:_(?P<attributes>.*))?"
)
_KEPT_BACK = re.compile(r"section_(?P<section>\d+)_(?:(?:(?P<domain>source|target)_)?(?P<split>test)_)?\d+")
_SUPPLEMENT = re.compile(
    r"section_(?P<section>\d+)_(?:(?P<before>source|target)_)?(?:supplemental_)?(?P<kind>machine|clean|noise)_"
    r"(?:(?P<after>source|target)_)?\d+(?:_(?P<attributes>.*))?"
)
_KEY = re.compile(r"[A-Za-z][\w-]*")
_NO_ATTRIBUTES = frozenset({"", "noattribute", "none", "nan"})
_KINDS = {"machine": "machine", "clean": "machine", "noise": "noise"}


@dataclass(frozen=True)
class Name:
    """What the name and folder of a recording tell; empty where they don't.

    ``year`` is the first with such a name in such a folder, 0 where both 2021 and later years have it.
    """

    section: str
    split: str
    domain: str = ""
    label: str = "unknown"
    supp_type: str = ""
    attributes: str = ""
    year: int = 0


def parse_name(stem: str, folder: str) -> Name:
    """Read the name of a recording without its suffix, in a folder of ``FOLDERS``.

    Raises:
        ValueError: it fits no rule; the text says which part does not.
    """
    if match := _BY_ID.fullmatch(stem):
        name = Name(match["section"], folder, "source", match["label"] or "unknown", year=2020)
        if folder not in ("train", "test"):
            raise ValueError("recordings of 2020 lie in folders train and test")
        if folder == "train" and name.label != "normal":
            raise ValueError("the folder train is for normal recordings, and its name does not say normal")
        return name
    if match := _SUPPLEMENT.fullmatch(stem):
        if folder != "supplemental":
            raise ValueError("recordings of noise or the machine alone lie in the folder supplemental")
        domain = match["before"] or match["after"] or ""
        supp_type, attributes = _KINDS[match["kind"]], match["attributes"] or ""
        return Name(match["section"], "supplemental", domain, "unknown", supp_type, attributes, 2025)
    match = _TOLD.fullmatch(stem) or _KEPT_BACK.fullmatch(stem)
    if not match:
        raise ValueError("its name is none that DCASE Task 2 gives")
    return _from_2021(match.groupdict(), folder)


def attributes_in(text: str) -> dict[str, str]:
    """The conditions at the end of a name: ``car_A1_spd_28V`` are pairs; what is no pairs stays one text."""
    text = text.strip("_")
    if text.lower() in _NO_ATTRIBUTES:
        return {}
    words = text.split("_")
    keys, values = words[::2], words[1::2]
    if len(keys) == len(values) == len(set(keys)) and all(map(_KEY.fullmatch, keys)) and all(values):
        return dict(zip(keys, values, strict=True))
    return {"attributes": text}


def _from_2021(told: dict[str, str | None], folder: str) -> Name:
    section, domain, label = told["section"] or "", told.get("domain") or "", told.get("label") or "unknown"
    split = "test" if folder.endswith("test") else folder
    if (told["split"] or split) != split or split == "supplemental":
        raise ValueError(f"its name is one for {told['split'] or 'test'}, and its folder is {folder}")
    if split == "train" and label != "normal":
        raise ValueError("the folder train is for normal recordings, and its name does not say normal")
    place = folder.removesuffix("_test") if folder in ("source_test", "target_test") else ""
    if place and (domain or place) != place:
        raise ValueError(f"its name says {domain}, and its folder is {folder}")
    year = 2021 if place else 2022 if folder == "test" else 0
    return Name(section, split, domain or place, label, "", told.get("attributes") or "", year)
