"""How well scores separate normal from anomalous, as DCASE Task 2 defines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]

MAX_FPR = 0.1


@dataclass(frozen=True)
class Metrics:
    """Figures of one section; ``None`` where the labels do not allow one, and ``note`` says why.

    ``auc`` is over all clips; ``auc_source`` and ``auc_target`` are the normals of that domain against
    the anomalies of both; ``pauc`` is the partial AUC up to a false-positive rate of 0.1 over all
    clips, standardised so that chance is 0.5; ``harmonic_mean`` is over the last three.
    """

    auc: float | None
    auc_source: float | None
    auc_target: float | None
    pauc: float | None
    harmonic_mean: float | None
    normals: int
    anomalies: int
    note: str


def evaluate(scores: Scores, labels: npt.NDArray[np.str_], domains: npt.NDArray[np.str_]) -> Metrics:
    """Metrics of test scores (n,); labels are normal, anomaly or unknown, and unknown ones don't count."""
    from sklearn.metrics import roc_auc_score

    anomalous, normal = labels == "anomaly", labels == "normal"
    counts = int(normal.sum()), int(anomalous.sum())
    if not counts[0] or not counts[1]:
        return Metrics(None, None, None, None, None, *counts, note=_missing(*counts))

    def auc(rows: npt.NDArray[np.bool_], max_fpr: float | None = None) -> float | None:
        if not (rows & normal).any():
            return None
        return float(roc_auc_score(anomalous[rows], scores[rows], max_fpr=max_fpr))

    known = normal | anomalous
    by_domain = {name: auc(anomalous | (normal & (domains == name))) for name in ("source", "target")}
    pauc = auc(known, MAX_FPR)
    parts = [value for value in (by_domain["source"], by_domain["target"], pauc) if value is not None]
    absent = [name for name, value in by_domain.items() if value is None]
    note = f"no labelled normals of domain {' or '.join(absent)} among the test clips" if absent else ""
    return Metrics(
        auc(known), by_domain["source"], by_domain["target"], pauc, harmonic_mean(parts), *counts, note=note
    )


def harmonic_mean(values: list[float]) -> float | None:
    """Harmonic mean; 0 where one value is 0, ``None`` of nothing."""
    if not values:
        return None
    if min(values) <= 0:
        return 0.0
    return len(values) / sum(1 / value for value in values)


def _missing(normals: int, anomalies: int) -> str:
    if not normals and not anomalies:
        return "no test clip is labelled normal or anomaly, so no figure can be given"
    missing = "normal" if not normals else "anomaly"
    return f"no test clip is labelled {missing}, so no figure can be given"
