"""How far two tables of scores are apart."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SectionResult:
    """How a section's scores compare. ``largest`` is the largest difference of a score, infinite for no number."""

    section: str
    clips: int
    differing: int
    largest: float
    missing: int
    added: int

    @property
    def identical(self) -> bool:
        """Whether every clip scored exactly what it did."""
        return not (self.differing or self.missing or self.added)


def compare_scores(before: bytes, after: bytes) -> list[SectionResult]:
    """How two versions of ``scores.csv`` compare, section by section."""
    was, now = _table(before), _table(after)
    both = was.join(now[["score"]], how="outer", rsuffix="_now")
    both["section"] = was["section"].combine_first(now["section"])
    found = []
    for name, rows in both.groupby("section"):
        missing, added = ~rows.index.isin(now.index), ~rows.index.isin(was.index)
        shared = rows[~missing & ~added]
        apart = [_apart(*pair) for pair in zip(shared["score"], shared["score_now"], strict=True)]
        found.append(
            SectionResult(
                section=str(name),
                clips=len(rows),
                differing=sum(value > 0 for value in apart),
                largest=max(apart, default=0.0),
                missing=int(missing.sum()),
                added=int(added.sum()),
            )
        )
    return found


def _apart(before: float, after: float) -> float:
    if math.isnan(before) and math.isnan(after):
        return 0.0
    apart = abs(before - after)
    return math.inf if math.isnan(apart) else apart


def _table(data: bytes) -> pd.DataFrame:
    import pandas as pd

    types = {"clip_id": str, "machine_type": str, "section_id": str, "score": float}
    table = pd.read_csv(
        io.BytesIO(data),
        dtype=types,
        usecols=list(types),
        float_precision="round_trip",
        keep_default_na=False,
        na_values={"score": [""]},
    )
    return table.assign(section=table["machine_type"] + "/" + table["section_id"]).set_index("clip_id")
