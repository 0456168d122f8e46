"""Which workers take a package: those with a GPU, where there are any, take what is heavy to embed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from alp_assets.errors import ParameterError
from alp_assets.params import Params

VARIABLE = "ALP_RUN_TAGS"
"""Environment variable: Dagster tags for runs by kind of worker, as YAML or JSON, for example
``{cpu: {dagster-celery/queue: cpu}, gpu: {dagster-celery/queue: gpu}}``. Unset: one machine, no tags."""

CPU, GPU = "cpu", "gpu"
_HEAVY = ("ast", "beats", "hf:")


def queue_tags(archive: Path, params: Params, data_root: Path) -> dict[str, str]:
    """The tags of a package's run.

    Raises:
        ParameterError: the environment variable holds something else than tags.
    """
    known = _known_tags(os.environ.get(VARIABLE, ""))
    heavy = GPU in known and _is_heavy(archive, params, data_root)
    return known.get(GPU if heavy else CPU, {})


def light_tags() -> dict[str, str]:
    """The tags of a run that any worker can take.

    Raises:
        ParameterError: the environment variable holds something else than tags.
    """
    return _known_tags(os.environ.get(VARIABLE, "")).get(CPU, {})


def _known_tags(text: str) -> dict[str, dict[str, str]]:
    try:
        found = yaml.safe_load(text) or {}
        return {
            str(kind): {str(name): _text(value) for name, value in tags.items()} for kind, tags in found.items()
        }
    except (yaml.YAMLError, AttributeError) as error:
        raise ParameterError(
            f"{VARIABLE} is not as it should be ({error}). Write {{cpu: {{tag: value}}, gpu: {{tag: value}}}}."
        ) from error


def _text(value: object) -> str:
    """Dagster's tags are text; those of Kubernetes hold JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_heavy(archive: Path, params: Params, data_root: Path) -> bool:
    """Whether the encoder is a transformer, or there is so much to embed that any encoder takes long."""
    from alp_assets.encoders.catalog import resolve_encoder

    if archive.stat().st_size >= params.run.gpu_bytes:
        return True
    return resolve_encoder(params.embeddings, data_root).startswith(_HEAVY)
