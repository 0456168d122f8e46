"""Engine B: the distance to the nearest normals of a source and a target memory bank.

``mode`` says how. ``fused``, the default, is in ``banks.fused``: whitening, nearest clip, the difference read by
bands in two ways; where an encoder has several depths, ``banks.depths`` weighs them. ``genrep`` is the method as
published (``banks.genrep``), ``density`` local density normalisation (``banks.density``).

What ``fused`` was chosen on, in mean AUC: five classes of real motors with 3, 5, 10 and 20 normals, and
synthetic fans, pumps and valves of four customers with 3 or 10 target and up to 60 source normals; log-mel
statistics; seeds from 100 up.

- Plain nearest neighbour 0.759 and 0.767; ``genrep`` 0.759 and 0.771; ``density`` 0.707 and 0.734: few clips tell
  little of a density.
- Every feature scaled by its deviation 0.783 and 0.840; whitened 0.792 and 0.958; the difference read by bands
  0.794 and 0.962; quantiles of both ends as features 0.816 and 0.977; the milder whitening in use, which keeps
  calibration honest with a handful of normals, 0.812 and 0.975.
- The mean over bands to the power 1 alone is better on motors (by 0.009) and worse on the synthetic machines (by
  0.03), to the power 3 the other way round; the larger of both is near the better one on each.
- Fusing in the Mahalanobis distance to the mean (0.773 to 0.862 alone, by normals) or the residual of principal
  components, as mean or minimum of z-scores, changed motors by 0.002 at most and cost 0.004 to 0.09 on the
  synthetic machines.

With environmental noise as target domain and ten normals (``bench/engines``) the statistics alone reach AUC 0.59
at 0 dB and 0.54 at -5 dB, less than their plain nearest neighbour (0.61 and 0.58); with the learned depth of
``alp_conv`` beside them it is 0.66 and 0.60. With three normals it is 0.58 and 0.55; the nearest neighbour has
0.60 and 0.58.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alp_assets.encoders.base import View
from alp_assets.engines.banks.density import DensityModel, fit_density, restore_density
from alp_assets.engines.banks.depths import DepthsModel, fit_depths, left_out_by_depths, restore_depths
from alp_assets.engines.banks.fused import FusedModel, fit_fused, left_out_scores, restore_fused
from alp_assets.engines.banks.genrep import GenRepModel, fit_genrep, restore_genrep
from alp_assets.engines.base import Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import MAX_FOLDS, cross_validated_scores
from alp_assets.params import MemoryBankParams

BankModel = FusedModel | DepthsModel | GenRepModel | DensityModel

_HANDFUL = 10
"""Recordings up to which normals are calibrated on the scale of the model."""

_MANY = 100
_FOLDS_OF_MANY = 5
_MOST_CALIBRATED = 1_000
"""Above ``_MANY`` normals fewer folds serve; of a domain no more clips than these are held out."""


class MemoryBank:
    """Nearest neighbours over a source and a target bank."""

    name = "memory_bank"
    letter = "B"
    view: View = "pooled"
    encoder = ""
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: MemoryBankParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> BankModel:
        """Fill the banks. A domain with a single clip joins the other one, for want of a distance."""
        refuse_too_few(self, normals)
        params = self.params
        if params.mode == "genrep":
            return fit_genrep(normals, params.k, params.mixup_share, params.mixup_neighbours, params.seed)
        if params.mode == "density":
            return fit_density(normals, params.k)
        return (fit_depths if _has_depths(normals) else fit_fused)(normals, params.k, params.seed)

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of each normal by what is learnt from the others, NaN for those that never stood aside.

        Of two normals nothing can be learnt with one left out: both get the score of what is usual.
        """
        refuse_too_few(self, normals)
        if self.params.mode == "fused" and len(set(normals.recordings.tolist())) <= _HANDFUL:
            left_out = left_out_by_depths if _has_depths(normals) else left_out_scores
            return left_out(normals, self.params.k, self.params.seed)
        if len(normals) == self.min_normals:
            return np.full(len(normals), self.fit(normals).usual)
        folds = MAX_FOLDS if len(normals) <= _MANY else _FOLDS_OF_MANY
        return cross_validated_scores(self, normals, folds, _MOST_CALIBRATED, self.params.seed)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> BankModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        if settings["mode"] == "genrep":
            return restore_genrep(tensors, settings)
        if settings["mode"] == "density":
            return restore_density(tensors, settings)
        return (restore_depths if "depths" in settings else restore_fused)(tensors, settings)


def _has_depths(normals: Normals) -> bool:
    """Whether an embedding is (depths, bands, values) instead of (bands, values)."""
    return normals.embeddings.ndim == 4
