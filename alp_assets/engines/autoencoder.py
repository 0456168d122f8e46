"""Engine L2: the reconstruction error of a dense autoencoder.

Two variants of one idea, a network that has learnt to pass normal sound through a bottleneck:

- ``mean`` sees a clip as the time mean of its bands and learns within a second from ten normals;
- ``frames`` is the field's baseline (DCASE Task 2, the autoencoder of 2020 to 2025): five neighbouring
  frames of 128 bands at a time, four layers of 128 units, eight in the middle, batch normalisation.

Networks are trained with torch and run in numpy, clip by clip.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.encoders.base import View
from alp_assets.engines.base import Evidence, Extras, Normals, Scores, refuse_too_few
from alp_assets.engines.crossval import cross_validated_scores
from alp_assets.params import AutoencoderParams

if TYPE_CHECKING:
    import torch

Variant = Literal["mean", "frames"]
Wide = npt.NDArray[np.float64]

_STACK = 5
"""Neighbouring frames that the baseline sees at a time."""

_HIDDEN: dict[Variant, tuple[int, ...]] = {
    "mean": (128, 64, 16, 64, 128),
    "frames": (128, 128, 128, 128, 8, 128, 128, 128, 128),
}
_BATCH: dict[Variant, int] = {"mean": 32, "frames": 256}

_LEAST_STEPS = 300
"""Steps of the optimiser at least: fifty epochs of ten clips would be fifty steps, too few to learn."""

_MOST_VECTORS = 20_000
"""Vectors that are learnt from at most; frames of many clips are drawn by the seed, as many of each clip."""

_FOLDS = 5
"""Networks that calibration trains at most."""

_NORM_EPSILON = 1e-3
_NORM_MOMENTUM = 0.1
"""The baseline's 0.01 suits its many thousand steps; after a few hundred its running statistics would lag."""

_RANGE_SHRINKAGE = 0.5
_LEAST_RANGE_DB = 0.1
"""A band's range is never taken below half of the median band's, nor below a tenth of a decibel."""


@dataclass(frozen=True)
class AutoencoderModel:
    """A trained network: a clip's score is the mean squared error of its reconstruction.

    ``centre`` and ``scale`` (d,) bring the bands to the scale that it was trained on; ``layers`` are pairs of
    weights (out, in) and biases (out,), with batch normalisation already in them.
    """

    variant: Variant
    centre: FloatArray
    scale: FloatArray
    layers: tuple[tuple[FloatArray, FloatArray], ...]
    steps: int

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"variant": self.variant, "layers": len(self.layers), "steps": self.steps}

    def score(self, embeddings: FloatArray) -> Scores:
        """Scores (n,) of spectrograms (n, bands, time) in dB."""
        return np.array([float(np.mean(error)) for error in self._errors(embeddings)])

    def explain(self, embeddings: FloatArray) -> list[Evidence]:
        """The squared error of every band: (64, 1) of the mean, (bands, time) of frames."""
        return [Evidence(_over_time(error, self.variant)) for error in self._errors(embeddings)]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The weights of every layer, centre and scale."""
        tensors: dict[str, npt.NDArray[Any]] = {"centre": self.centre, "scale": self.scale}
        for index, (weight, bias) in enumerate(self.layers):
            tensors |= {f"weight.{index}": weight, f"bias.{index}": bias}
        return tensors

    def _errors(self, embeddings: FloatArray) -> list[Wide]:
        """Squared errors (vectors, d) of each clip.

        Clip by clip, because a matrix product rounds by its shape, and a clip must get the same score alone
        as among others.
        """
        centre, scale = self.centre.astype(np.float64), self.scale.astype(np.float64)
        layers = [(np.ascontiguousarray(w.T, np.float64), b.astype(np.float64)) for w, b in self.layers]
        errors = []
        for clip in embeddings:
            given = (_vectors(clip, self.variant) - centre) / scale
            rebuilt = given
            for index, (weight, bias) in enumerate(layers):
                rebuilt = rebuilt @ weight + bias
                if index < len(layers) - 1:
                    rebuilt = np.maximum(rebuilt, 0.0)
            errors.append((given - rebuilt) ** 2)
        return errors


class Autoencoder:
    """A dense autoencoder of log-mel spectrograms."""

    name = "autoencoder"
    letter = "L2"
    view: View = "frames"
    encoder = "logmel"
    extras: Extras = ""
    min_normals = 2

    def __init__(self, params: AutoencoderParams) -> None:
        self.params = params
        self.max_normals = params.max_normals

    def fit(self, normals: Normals) -> AutoencoderModel:
        """Train on spectrograms (n, bands, time) in dB, of both domains alike.

        Adam on the mean squared error in mini-batches, for ``epochs`` passes or 300 steps, whichever is more.
        """
        refuse_too_few(self, normals)
        vectors = self._material(normals.embeddings)
        return self._trained(vectors, *_scaling(vectors, self.params.variant))

    def calibrate(self, normals: Normals) -> Scores:
        """Scores (n,) of each normal by networks that were trained on the others, five at most.

        Of two normals each is scored by a network that was trained on the other one, in the scale of both:
        a single clip has none.
        """
        if len(normals) > self.min_normals:
            return cross_validated_scores(self, normals, most=_FOLDS)
        refuse_too_few(self, normals)
        scaling = _scaling(self._material(normals.embeddings), self.params.variant)
        first, second = normals.embeddings[:1], normals.embeddings[1:]
        pairs = ((second, first), (first, second))
        found = [self._trained(self._material(seen), *scaling).score(unseen) for seen, unseen in pairs]
        return np.concatenate(found)

    def restore(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> AutoencoderModel:
        """A model as ``tensors`` and ``settings`` describe it."""
        layers = tuple((tensors[f"weight.{i}"], tensors[f"bias.{i}"]) for i in range(settings["layers"]))
        return AutoencoderModel(
            settings["variant"], tensors["centre"], tensors["scale"], layers, settings["steps"]
        )

    def _material(self, embeddings: FloatArray) -> FloatArray:
        """The vectors (m, d) of clips to learn from, float32; of many clips some of each."""
        rng = np.random.default_rng(self.params.seed)
        share = max(_MOST_VECTORS // len(embeddings), 1)
        found = []
        for clip in embeddings:
            vectors = _vectors(clip, self.params.variant)
            if len(vectors) > share:
                vectors = vectors[np.sort(rng.choice(len(vectors), share, replace=False))]
            found.append(vectors.astype(np.float32))
        return np.concatenate(found)

    def _trained(self, vectors: FloatArray, centre: FloatArray, scale: FloatArray) -> AutoencoderModel:
        import torch

        variant = self.params.variant
        batch = min(_BATCH[variant], len(vectors))
        steps = max(self.params.epochs * math.ceil(len(vectors) / batch), _LEAST_STEPS)
        generator = torch.Generator().manual_seed(self.params.seed)
        network = _Network((vectors.shape[1], *_HIDDEN[variant], vectors.shape[1]), variant == "frames", generator)
        optimiser = torch.optim.Adam(network.parameters, lr=self.params.learning_rate, fused=True)
        material = torch.from_numpy((vectors - centre) / scale)
        passes = math.ceil(steps * batch / len(vectors))
        order = torch.cat([torch.randperm(len(vectors), generator=generator) for _ in range(passes)])
        for step in range(steps):
            given = material[order[step * batch : (step + 1) * batch]]
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network.forward(given), given).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return AutoencoderModel(variant, centre, scale, network.folded(), steps)


class _Network:
    """Linear layers with ReLU between them, and batch normalisation before each ReLU where it is wanted.

    Made without torch's modules, whose constructors draw from the generator that all threads share. Weights and
    biases start uniform within 1 / sqrt(inputs), as torch's linear layers do.
    """

    def __init__(self, widths: tuple[int, ...], normalised: bool, generator: torch.Generator) -> None:
        import torch

        self.linear = []
        for inputs, outputs in itertools.pairwise(widths):
            bound = 1 / math.sqrt(inputs)
            shapes = ((outputs, inputs), (outputs,))
            weight, bias = ((2 * torch.rand(shape, generator=generator) - 1) * bound for shape in shapes)
            self.linear.append((weight.requires_grad_(), bias.requires_grad_()))
        hidden = widths[1:-1] if normalised else ()
        self.gain = [(torch.ones(n, requires_grad=True), torch.zeros(n, requires_grad=True)) for n in hidden]
        self.running = [(torch.zeros(n), torch.ones(n)) for n in hidden]

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is learnt."""
        return [tensor for pair in (*self.linear, *self.gain) for tensor in pair]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The reconstruction (m, d) of values (m, d) while training."""
        from torch.nn import functional

        last = len(self.linear) - 1
        for index, (weight, bias) in enumerate(self.linear):
            values = functional.linear(values, weight, bias)
            if index < last and self.gain:
                values = functional.batch_norm(
                    values,
                    *self.running[index],
                    *self.gain[index],
                    training=True,
                    momentum=_NORM_MOMENTUM,
                    eps=_NORM_EPSILON,
                )
            if index < last:
                values = functional.relu(values)
        return values

    def folded(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Weights and biases of every layer with its normalisation by the running statistics in them."""
        layers = []
        for index, pair in enumerate(self.linear):
            weight, bias = (tensor.detach().numpy() for tensor in pair)
            if index < len(self.gain):
                gain, shift = (tensor.detach().numpy() for tensor in self.gain[index])
                mean, variance = (tensor.numpy() for tensor in self.running[index])
                factor = gain / np.sqrt(variance + np.float32(_NORM_EPSILON))
                weight, bias = weight * factor[:, None], (bias - mean) * factor + shift
            layers.append((weight, bias))
        return tuple(layers)


def _vectors(clip: FloatArray, variant: Variant) -> Wide:
    """What the network sees of a spectrogram (bands, time) in dB: (1, bands / 2) or (time - 4, 5 x bands)."""
    bands = np.asarray(clip, np.float64)
    if variant == "mean":
        averaged: Wide = _halved(bands).mean(axis=1, keepdims=True).T
        return averaged
    stack = min(_STACK, bands.shape[1])
    windows = np.lib.stride_tricks.sliding_window_view(np.ascontiguousarray(bands.T), stack, axis=0)
    stacked: Wide = windows.transpose(0, 2, 1).reshape(len(windows), -1)
    return stacked


def _halved(bands: Wide) -> Wide:
    """Half as many bands in dB, each the summed power of two neighbours; an odd last one stays as it is."""
    power = 10 ** (bands / 10)
    merged: Wide = np.add.reduceat(power, np.arange(0, len(power), 2), axis=0)
    return np.asarray(10 * np.log10(merged))


def _scaling(vectors: FloatArray, variant: Variant) -> tuple[FloatArray, FloatArray]:
    """Centre and scale (d,) of vectors (m, d).

    Of the mean the least value and the range of every band, so that the normals fill 0 to 1. Of frames the mean
    of every band and one deviation for all of them, so that a decibel counts alike in every band, as in the
    baseline, and few steps suffice.
    """
    wide = vectors.astype(np.float64)
    if variant == "frames":
        centre = wide.mean(axis=0)
        deviation = float(np.sqrt(np.mean((wide - centre) ** 2)))
        scale = np.full(wide.shape[1], max(deviation, _LEAST_RANGE_DB))
    else:
        centre = wide.min(axis=0)
        span = wide.max(axis=0) - centre
        scale = np.maximum(span, max(_RANGE_SHRINKAGE * float(np.median(span)), _LEAST_RANGE_DB))
    return centre.astype(np.float32), scale.astype(np.float32)


def _over_time(error: Wide, variant: Variant) -> FloatArray:
    """Errors (vectors, d) of a clip by band and time; where stacks overlap, their mean."""
    if variant == "mean":
        return error.T.astype(np.float32)
    stack = min(_STACK, error.shape[1])
    bands = error.shape[1] // stack
    total, count = np.zeros((len(error) + stack - 1, bands)), np.zeros((len(error) + stack - 1, 1))
    for place in range(stack):
        rows = slice(place, place + len(error))
        total[rows] += error[:, place * bands : (place + 1) * bands]
        count[rows] += 1
    return (total / count).T.astype(np.float32)
