"""The eight stages by name. Their modules are imported when they are first run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, cast

from alp_assets.params import Params
from alp_assets.progress import Progress, silent
from alp_assets.sandbox.memory import memory_limit
from alp_assets.sandbox.owner import work_for
from alp_assets.stages.disk import disk_told
from alp_assets.stages.package import STAGES, PackageFolder
from alp_assets.stages.summary import Summary

StageFunction = Callable[[PackageFolder, Params, Progress], Summary]


def stage_function(name: str) -> StageFunction:
    """The plain function of a stage; ``KeyError`` for a name that is none."""
    if name not in STAGES:
        raise KeyError(name)
    function: StageFunction = getattr(import_module(f"alp_assets.stages.{name}"), name)

    @wraps(function)
    def work(folder: PackageFolder, params: Params, *given: Any, **more: Any) -> Summary:
        what = f"{name} of {folder.key}"
        work_for(folder.key)
        with folder.in_use(), disk_told(folder.data_root, what), memory_limit(params.run.max_memory_mb, what):
            return function(folder, params, *given, **more)

    return cast("StageFunction", work)


def run_stage(name: str, folder: PackageFolder, params: Params, progress: Progress = silent) -> Summary:
    """Run one stage of a package."""
    return stage_function(name)(folder, params, progress)
