"""How a recording was made: its distance from the background, hum of the mains, gusts and thumps."""

from __future__ import annotations

import math

import numpy as np

from alp_assets.params import QualityParams
from alp_assets.stages.quality_heard import Heard, Rows
from schemas.problems import Problem

_QUIETEST_DB = -20.0


def signal_to_noise(heard: Heard, limits: QualityParams) -> tuple[np.ndarray, dict[int, Problem]]:
    """Estimates (n,) in dB of machine over background, and warnings by row; not a number without noise-only ones.

    The background is what the section's noise-only recordings hold, those of the same microphone where there
    are any. Its power is taken off that of the recording band by band; what remains is the machine's.
    """
    found = np.full(len(heard.table), np.nan)
    for _, rows in heard.sections():
        noise = rows[heard.noise_only[rows]]
        machine = rows[~heard.noise_only[rows]]
        for _, same in heard.groups(("mic_position_id",), machine):
            place = heard.table["mic_position_id"].iloc[same[0]]
            there = noise[(heard.table["mic_position_id"].iloc[noise] == place).to_numpy()]
            if used := list(there if len(there) else noise):
                found[same] = _over(heard, same, np.array(used))
    low = np.flatnonzero(found < limits.warn_snr_db)
    return found, {int(at): Problem("warning", "snr_low", {"snr": round(float(found[at]), 1)}) for at in low}


def hum(heard: Heard, limits: QualityParams) -> dict[int, Problem]:
    """Warnings of hum by row.

    Where nearly all recordings of a machine hum and its noise-only ones do not, the machine itself does.
    """
    hums = (heard.table["hum_db"] >= limits.warn_hum_db).to_numpy()
    warned = hums.copy()
    for _, rows in heard.sections():
        alone = heard.noise_only[rows]
        if alone.all() or not alone.any():
            continue
        if not hums[rows[alone]].any() and hums[rows[~alone]].mean() > limits.own_hum_share:
            warned[rows] = False
    return {
        int(at): Problem(
            "warning",
            "mains_hum",
            {"hz": int(heard.table["hum_hz"].iloc[at]), "db": round(float(heard.table["hum_db"].iloc[at]), 1)},
        )
        for at in np.flatnonzero(warned)
    }


def gusts(heard: Heard, limits: QualityParams) -> dict[int, Problem]:
    """Warnings of wind and handling by row: low-frequency moments as loud as all the rest, unlike the machine.

    A machine that beats or strikes does so in every recording, so the usual of its normals is allowed to all.
    """
    found: dict[int, Problem] = {}
    above = heard.table["gusts_db"].to_numpy(float)
    louder = (heard.table["gusts_dbfs"] - heard.table["rms_dbfs"]).to_numpy(float) >= limits.gust_level_db
    for _, rows in heard.sections():
        normals = rows[heard.train[rows]]
        usual = float(np.median(above[normals])) if len(normals) >= limits.least_recordings else 0.0
        limit = max(limits.warn_gusts_db, usual + limits.warn_gusts_db / 2)
        for at in rows[louder[rows] & (above[rows] >= limit)]:
            found[int(at)] = Problem("warning", "gusts", {"db": round(float(above[at]), 1)})
    return found


def _over(heard: Heard, rows: Rows, noise: Rows) -> np.ndarray:
    """The ratio (rows,) in dB of what the rows hold beyond the noise, to the noise."""
    background = np.median(10 ** (heard.levels[noise].astype(float) / 10), axis=0)
    powers = 10 ** (heard.levels[rows].astype(float) / 10)
    both = np.isfinite(background) & np.isfinite(powers)
    beyond = np.where(both, np.maximum(powers - background, 0), 0).sum(axis=1)
    under = np.where(both, background, 0).sum(axis=1)
    ratio = 10 * np.log10(np.maximum(beyond, 1e-20) / np.maximum(under, 1e-20))
    return np.where(both.any(axis=1), np.maximum(ratio, _QUIETEST_DB), math.nan)
