"""How fast clips become AST embeddings, beside the plain way, and that both rank clips alike.

The plain way is transformers' extractor and model in float32 with all hidden states, clip by clip and in a
batch. Ours is the encoder as the stages use it. The model has the size of the published one and random weights:
speed does not depend on their values. Both ways take turns on the same clips, so that what else the machine does
weighs on both; processor seconds stand beside the clock for the same reason. Each way's share of the
machine says how much of the rate of bare matrix products, measured in the same run, its layers reach.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from alp_assets.audio.decode import FloatArray
from alp_assets.audio.standardize import CLIP_SAMPLES, SAMPLE_RATE
from alp_assets.encoders.base import Sound
from alp_assets.encoders.device import bfloat16_instructions
from alp_assets.encoders.pretrained import PretrainedEncoder, make_pretrained
from alp_assets.params import PretrainedParams
from alp_assets.synth.anomalies import bearing_rattle
from alp_assets.synth.machines import build_machine
from bench.output import save, say, show

TARGET = 3.5
"""Times the plain way clip by clip, where the processor has AMX."""

_SEED = 0
_SUPPORT = 3
_UPPER = 0.05
_EVERY = 5
"""Every fifth layer is scored: the scores compare the ways, and all layers would take longer than to embed."""

_LAYERS = 12
_TOKENS = 1214
_TRIES = 5


@dataclass
class Way:
    """What one way of embedding took, over ``clips`` clips."""

    name: str
    clips: int = 0
    wall_s: float = 0.0
    processor_s: float = 0.0

    @property
    def clips_per_s(self) -> float:
        """Clips in a second by the clock."""
        return self.clips / self.wall_s

    @contextmanager
    def running(self, clips: int) -> Iterator[None]:
        """Count what the block takes."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        _synchronize()
        self.clips += clips
        self.wall_s += time.perf_counter() - wall
        self.processor_s += time.process_time() - processor


def main() -> None:
    """Measure, print and write ``encoders.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoders", description=__doc__)
    parser.add_argument("--clips", type=int, default=8, help=f"clips, more than {_SUPPORT}")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--compile", action="store_true", help="torch.compile the layers")
    parser.add_argument(
        "--layers", type=int, default=_LAYERS, help="fewer than the published 12 are for trying out"
    )
    chosen = parser.parse_args()
    sounds = _sounds(max(chosen.clips, _SUPPORT + 2))
    with tempfile.TemporaryDirectory(prefix="alp-bench-") as scratch:
        model, extractor = _checkpoint(Path(scratch), chosen.layers)
        params = PretrainedParams(
            precision=chosen.precision, compile=chosen.compile, pooled_layers=(min(4, chosen.layers),)
        )
        encoder = make_pretrained(f"hf:{scratch}", params, Path(scratch))
        assert isinstance(encoder, PretrainedEncoder)
        figures = _measured(encoder, model, extractor, sounds)
    _print(figures)
    if chosen.layers == _LAYERS:
        save("encoders", figures)


def _measured(encoder: PretrainedEncoder, model: Any, extractor: Any, sounds: list[Sound]) -> dict[str, Any]:
    single, batched, ours, pooled = map(Way, ("plain, clip by clip", "plain, in a batch", "ours", "ours, pooled"))
    size = max(encoder.batch, 2)
    _plain(model, extractor, sounds[:1], encoder.layers)
    encoder.encode(sounds[: encoder.batch], ["patches", "pooled"])
    theirs, found = [], []
    for start in range(0, len(sounds), size):
        part = sounds[start : start + size]
        with single.running(len(part)):
            theirs += [_plain(model, extractor, [sound], encoder.layers) for sound in part]
        with ours.running(len(part)):
            found.append(encoder.encode(part, ["patches", "pooled"])["patches"])
        with pooled.running(len(part)):
            encoder.encode(part, ["pooled"])
        if start < len(sounds) / 2:
            with batched.running(len(part)):
                _plain(model, extractor, part, encoder.layers)
    plain, fast = np.concatenate(theirs), np.concatenate(found)
    (plain_scores, plain_patches), (scores, patches) = _scores(plain[:, ::_EVERY]), _scores(fast[:, ::_EVERY])
    placement = encoder.placement
    rates = {name: _product_rate(placement.device, name) for name in {"float32", str(placement.precision)}}
    work = {
        single.name: ("float32", _work(model.config, model.config.num_hidden_layers)),
        batched.name: ("float32", _work(model.config, model.config.num_hidden_layers)),
        ours.name: (placement.precision, _work(model.config, max((*encoder.layers, *encoder.pooled_layers)))),
        pooled.name: (placement.precision, _work(model.config, max(encoder.pooled_layers))),
    }
    return {
        "clips": len(sounds),
        "device": placement.device,
        "device_name": _device_name(placement.device),
        "precision": placement.precision,
        "batch": encoder.batch,
        "bfloat16_instructions": list(bfloat16_instructions()),
        "ways": {
            way.name: {
                "clips_per_s": way.clips_per_s,
                "processor_s_per_clip": way.processor_s / way.clips,
                "times_plain": way.clips_per_s / single.clips_per_s,
                "share_of_products": way.clips_per_s * work[way.name][1] / rates[work[way.name][0]],
            }
            for way in (single, batched, ours, pooled)
        },
        "gflops": {name: rate / 1e9 for name, rate in sorted(rates.items())},
        "target": TARGET,
        "rank_correlation": {
            "clip_scores": _rank_correlation(plain_scores, scores),
            "patch_scores": _rank_correlation(plain_patches, patches),
            "clips_scored": len(scores),
        },
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }


def _sounds(count: int) -> list[Sound]:
    """One fan, healthy; every other clip after the support has a bearing that rattles louder and louder."""
    rng = np.random.default_rng(_SEED)
    fan = build_machine("fan", rng)
    found = []
    for index in range(count):
        sound = fan.sound(rng, CLIP_SAMPLES, SAMPLE_RATE)
        if index >= _SUPPORT and index % 2:
            sound, _ = bearing_rattle(sound, SAMPLE_RATE, rng, 2.0 * index - 20.0)
        found.append(Sound(np.clip(sound, -1, 1).astype(np.float32)))
    return found


def _checkpoint(folder: Path, layers: int) -> tuple[Any, Any]:
    """A random AST on disk, and the plain way's model and extractor."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model: Any = ASTModel(ASTConfig(num_hidden_layers=layers))
        model.eval()
    model.save_pretrained(folder)
    extractor: Any = ASTFeatureExtractor()  # type: ignore[no-untyped-call]
    extractor.save_pretrained(folder)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), extractor


def _plain(model: Any, extractor: Any, sounds: list[Sound], layers: tuple[int, ...]) -> FloatArray:
    """Patches (n, layers, bands, time, values) the plain way."""
    import torch

    values = extractor([sound.samples for sound in sounds], sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.inference_mode():
        states = model(values["input_values"].to(model.device), output_hidden_states=True).hidden_states
    kept = torch.stack([states[layer][:, 2:] for layer in layers], dim=1).half().cpu().numpy()
    return kept.reshape(*kept.shape[:2], 12, -1, kept.shape[-1])


def _scores(patches: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Clip scores (n,) and patch scores (n, patches) of the clips after the support.

    1 - the largest cosine to any patch of the support, the mean over layers, of which the upper 5 % are averaged.
    """
    n, layers = patches.shape[:2]
    unit = patches.astype(np.float32).reshape(n, layers, -1, patches.shape[-1])
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    distances = []
    for clip in unit[_SUPPORT:]:
        by_layer = [
            1 - (clip[layer] @ unit[:_SUPPORT, layer].reshape(-1, unit.shape[-1]).T).max(axis=1)
            for layer in range(layers)
        ]
        distances.append(np.mean(by_layer, axis=0))
    of_patches = np.stack(distances)
    most = max(1, round(_UPPER * of_patches.shape[1]))
    return np.sort(of_patches, axis=1)[:, -most:].mean(axis=1), of_patches


def _rank_correlation(first: FloatArray, second: FloatArray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _work(config: Any, layers: int) -> float:
    """Floating-point operations of one clip: the products of the layers and of their attention."""
    values, inner = config.hidden_size, config.intermediate_size
    products = 2 * _TOKENS * (4 * values**2 + 2 * values * inner)
    return float(layers * (products + 4 * _TOKENS**2 * values))


def _product_rate(device: str, precision: str) -> float:
    """Operations in a second of the largest product in a layer; the best of some tries."""
    import torch

    dtype, clips = getattr(torch, precision), 16 if device == "cuda" else 1
    x = torch.randn(clips * _TOKENS, 768, device=device).to(dtype)
    weight = torch.randn(3072, 768, device=device).to(dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(_TRIES):
            _synchronize()
            start = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            _synchronize()
            best = min(best, time.perf_counter() - start)
    return 2.0 * len(x) * 768 * 3072 / best


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def _print(figures: dict[str, Any]) -> None:
    columns = ("way", "clips/s", "processor s/clip", "times plain", "share of products")
    lines = [
        [
            name,
            f"{way['clips_per_s']:.3f}",
            f"{way['processor_s_per_clip']:.2f}",
            f"{way['times_plain']:.2f}",
            f"{way['share_of_products']:.0%}",
        ]
        for name, way in figures["ways"].items()
    ]
    title = f"AST on {figures['device_name']}: {figures['clips']} clips, ours in {figures['precision']}"
    show(title, columns, lines)
    found = figures["bfloat16_instructions"]
    say(f"bfloat16 in this processor: {', '.join(found) or 'none (no AMX, no AVX512-BF16)'}")
    say("Bare products: " + ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in figures["gflops"].items()))
    ranks = figures["rank_correlation"]
    say(
        f"Rank correlation with the plain way: clip scores {ranks['clip_scores']:.4f} "
        f"({ranks['clips_scored']} clips), patch scores {ranks['patch_scores']:.5f}"
    )
    if figures["device"] == "cpu" and "amx_bf16" not in found:
        say(f"The target, {figures['target']:g} times the plain way, is for processors with AMX, unlike this one.")


if __name__ == "__main__":
    main()
