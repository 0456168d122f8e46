"""All that ``alp doctor`` looks at."""

from __future__ import annotations

from pathlib import Path

from alp_assets.errors import AlpError
from alp_assets.params import Params, load_params
from alp_assets.watch.doctor.finding import Finding, collected, ok, problem
from alp_assets.watch.doctor.machine import machine
from alp_assets.watch.doctor.services import services
from alp_assets.watch.doctor.software import software, telemetry


def visit(data_root: Path) -> list[Finding]:
    """Every finding, in the order in which one would mend them. Nothing is changed."""
    params, parameters = _parameters(data_root)
    return [
        *software(),
        *collected({"telemetry": lambda: telemetry(data_root)}),
        parameters,
        *machine(data_root, params),
        *services(data_root, params),
    ]


def _parameters(data_root: Path) -> tuple[Params, Finding]:
    try:
        return load_params(data_root), ok("parameters", "valid")
    except AlpError as error:
        return Params(), problem("parameters", str(error), "Mend the file; until then no command of ALP works.")
