"""What Dagster loads where a drill sets a trap: the definitions of ALP, and the trap, in each process of a run."""

from __future__ import annotations

import os
from importlib import import_module

from alp_assets.definitions import defs as defs
from drills.dagster_dev import TRAP

_module, _, _function = os.environ[TRAP].partition(":")
getattr(import_module(_module), _function)()
