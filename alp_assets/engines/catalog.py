"""The engines that there are, by name."""

from __future__ import annotations

from collections.abc import Callable

from alp_assets.encoders.base import Feature
from alp_assets.engines.autoencoder import Autoencoder
from alp_assets.engines.base import Engine
from alp_assets.engines.isolation_forest import IsolationForest
from alp_assets.engines.memory_bank import MemoryBank
from alp_assets.engines.meta_prototype import MetaPrototype
from alp_assets.engines.patch_memory import PatchMemory
from alp_assets.engines.signal_cnn import SignalCnn
from alp_assets.engines.signal_pca import SignalPca
from alp_assets.engines.signal_spectrum import SignalSpectrum
from alp_assets.engines.time_moe.engine import TimeMoe
from alp_assets.params import ModelParams


def make_engine(name: str, params: ModelParams) -> Engine:
    """The engine of a name; ``KeyError`` for one that this version does not have."""
    engines: dict[str, Callable[[], Engine]] = {
        "patch_memory": lambda: PatchMemory(params.patch_memory),
        "memory_bank": lambda: MemoryBank(params.memory_bank),
        "meta_prototype": lambda: MetaPrototype(params.meta_prototype),
        "isolation_forest": lambda: IsolationForest(params.isolation_forest),
        "autoencoder": lambda: Autoencoder(params.autoencoder),
        "time_moe": lambda: TimeMoe(params.time_moe),
        "signal_pca": lambda: SignalPca(params.signal_pca),
        "signal_spectrum": lambda: SignalSpectrum(params.signal_spectrum),
        "signal_cnn": lambda: SignalCnn(params.signal_cnn),
    }
    return engines[name]()


def feature_of(engine: Engine, encoder: str) -> Feature:
    """What an engine works on, where ``encoder`` is the one for engines that take any."""
    return Feature(engine.encoder or encoder, engine.view)
