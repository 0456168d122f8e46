"""What the architectures have in common: a plan read from the configuration, and the loaded layers."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from alp_assets.encoders.checkpoint import Checkpoint
from alp_assets.encoders.device import Placement
from alp_assets.errors import WeightsMissing

if TYPE_CHECKING:
    from torch import Tensor


class Trunk(Protocol):
    """Loaded layers, the lowest first, up to the highest that was asked for."""

    def hidden(self, waves: Tensor, wanted: Collection[int]) -> Iterator[tuple[int, Tensor]]:
        """Outputs (n, bands, time, values) of the wanted layers, counted from 1, lowest first.

        ``waves`` is (n, 160000), full scale 1.0. Nothing above the highest wanted layer is computed.
        """
        ...


class Plan(Protocol):
    """What the configuration says, before weights are read."""

    @property
    def depth(self) -> int:
        """How many layers the checkpoint has."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Bands and time steps of ten seconds."""
        ...

    @property
    def values(self) -> int:
        """Values of a grid cell."""
        ...

    @property
    def bytes_per_clip(self) -> int:
        """Working memory of one clip, roughly."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """How the features are computed, for model cards."""
        ...

    def load(self, layers: int, placement: Placement, compiled: bool) -> Trunk:
        """Read the weights of the lowest ``layers`` layers."""
        ...


def load_transformer(checkpoint: Checkpoint, model_class: Any, config: Any) -> Any:
    """A transformers model in evaluation mode, float32, with every tensor from the checkpoint.

    Raises:
        WeightsMissing: tensors are missing, or have other shapes than the configuration says.
    """
    import torch

    try:
        with _silent_transformers():
            model, told = model_class.from_pretrained(
                checkpoint.path,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # files from outside fail in as many ways as there are parsers below
        reason = " ".join(str(error).split())[:300]
        raise WeightsMissing(f"{checkpoint.path}: cannot be loaded: {reason}") from error
    shapes = [str(item[0] if isinstance(item, tuple) else item) for item in told["mismatched_keys"]]
    refuse_gaps(checkpoint, list(told["missing_keys"]), shapes)
    return model.eval()


def refuse_gaps(checkpoint: Checkpoint, missing: list[str], shapes: list[str]) -> None:
    """Raise ``WeightsMissing`` where a checkpoint lacks tensors or has them in other shapes."""
    for names, what in ((missing, "lacks"), (shapes, "has other shapes than its configuration says for")):
        if names:
            count = f"{len(names)} tensor{'s' if len(names) > 1 else ''}"
            raise WeightsMissing(
                f"{checkpoint.path}: {what} {count} of {checkpoint.architecture}, such as {sorted(names)[0]}. "
                "The weights do not belong to this config.json; get the whole checkpoint again."
            )


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Keep its bars and reports of unused tensors off the terminal; what matters is told in errors."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
