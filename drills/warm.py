"""Imported by the process that those of drills are forked from: they find everything loaded that a run needs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from alp_assets.sandbox import workers
from drills.ground import Ground

with TemporaryDirectory(prefix="alp-drill-warm-") as _place:
    _ = Ground(Path(_place)).undisturbed
workers._end_all()  # each run has decoders of its own
