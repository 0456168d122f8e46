"""Every parameter that a user may tune: one typed tree, validated once, recorded in every model card.

Values come from a YAML file: ``$ALP_PARAMS``, else ``params.yaml`` in the data root, else the
``params.yaml`` of the checkout, else the defaults here. Unknown names are errors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from alp_assets.errors import ParameterError
from alp_assets.signal_params import SignalCnnParams, SignalPcaParams, SignalSpectrumParams, TimeMoeParams
from alp_assets.watch_params import FreshnessParams, NoticeParams

PROJECT = Path(__file__).resolve().parent.parent


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UploadParams(_Group):
    """Limits of the archive, which is refused before anything is unpacked, and of reading its table."""

    max_bytes: int = Field(default=100 * 2**30, gt=0, description="of the zip itself")
    max_entries: int = Field(default=200_000, gt=0)
    max_total_bytes: int = Field(default=200 * 2**30, gt=0, description="sum of unpacked sizes")
    max_entry_bytes: int = Field(default=8 * 2**30, gt=0)
    max_ratio: float = Field(default=200.0, gt=1, description="unpacked to packed size")
    ratio_from_bytes: int = Field(
        default=64 * 2**20,
        gt=0,
        description="entries and packages that unpack to less may have any ratio: digital silence packs 1000 to 1",
    )
    table_seconds: float = Field(default=600.0, gt=0, description="longest time that reading the table may take")
    table_memory_mb: int = Field(default=2_048, ge=64, description="of the process that reads the table")


class QualityParams(_Group):
    """When a recording is set aside, and what is only warned of. Levels are dBFS of a full-scale square."""

    min_duration_s: float = Field(default=1.0, gt=0)
    max_duration_s: float = Field(default=4 * 3600.0, gt=0)
    min_sample_rate_hz: int = Field(default=8_000, gt=0)
    max_channels: int = Field(default=64, gt=0)
    silence_dbfs: float = Field(default=-85.0, lt=0, description="a 50 ms frame below this is silent")
    max_silence_ratio: float = Field(default=0.9, ge=0, le=1)
    max_clipping_ratio: float = Field(default=0.01, ge=0, le=1)
    max_dropout_ratio: float = Field(default=0.1, ge=0, le=1, description="time inside runs of exact zeros")
    dropout_run_s: float = Field(default=0.01, gt=0, description="exact zeros at least this long are a dropout")
    max_dc_offset: float = Field(default=0.1, ge=0, le=1)
    warn_bandwidth_hz: float = Field(default=7_000.0, gt=0, description="less looks like a lossy or 8 kHz source")
    warn_snr_db: float = Field(
        default=-3.0, ge=-20, description="machine over background, estimated from noise-only recordings"
    )
    hum_prominence_db: float = Field(default=10.0, gt=0, description="a line of hum stands so far above its sides")
    warn_hum_db: float = Field(default=-15.0, description="power of hum relative to everything else")
    own_hum_share: float = Field(
        default=0.8, ge=0, le=1, description="more of a machine's recordings hum, not its noise: its own sound"
    )
    warn_gusts_db: float = Field(
        default=10.0,
        gt=0,
        description="loudest moments at 8 to 56 Hz above the usual ones; half of it above normals'",
    )
    gust_level_db: float = Field(default=-3.0, description="these moments are at least so loud, to the recording")
    warn_gain_step_db: float = Field(default=4.5, gt=0, description="a step of level that passes for the gain's")
    max_shape_change_db: float = Field(
        default=1.0, gt=0, description="bands differ by more in a step: it is the machine's, not the gain's"
    )
    least_recordings: int = Field(
        default=4, ge=3, description="recordings that tell what is usual of a machine; fewer are not compared"
    )
    copy_likeness: float = Field(
        default=0.4, gt=0, le=1, description="share of the waveform that copies have in common"
    )
    copy_distance_db: float = Field(default=1.5, gt=0, description="copies have profiles no farther apart")
    copy_crowd: int = Field(default=20, ge=3, description="recordings of a machine from which copies stand out")
    copy_ratio: float = Field(default=1.0, gt=0, description="in a crowd: closer than usual neighbours by this")
    copies_checked: int = Field(default=400, ge=0, description="most pairs whose waveforms are compared; 0: none")
    misfit_ratio: float = Field(
        default=2.0,
        gt=1,
        description="farther from its own than usual, and than from another machine, or from earlier",
    )
    warn_drift_db: float = Field(default=3.0, gt=0, description="a machine's normals to those of earlier packages")
    data_docs: bool = Field(default=True, description="write Great Expectations' Data Docs into quality/")
    decode_seconds: float = Field(default=300.0, gt=0, description="longest wait for the samples of a recording")
    decode_memory_mb: int = Field(default=4_096, ge=64, description="of the process that decodes a recording")


class ClipParams(_Group):
    """The standard form of a clip. Sample rate and length are fixed by the contract."""

    channel: Annotated[int, Field(ge=1)] | Literal["average"] = Field(
        default=1, description="which microphone, counted from 1"
    )
    min_seconds: float = Field(default=1.0, gt=0, le=10, description="shorter remainders are left out")


class SignalParams(_Group):
    """Motor current, flux and vibration: the standard form of their clips, and when a recording is set aside."""

    clip_points: int = Field(
        default=8192, ge=256, description="of a clip, at the rate of the recording; shorter ones are set aside"
    )
    masked: tuple[Literal["phase_a", "phase_b", "phase_c", "flux", "axis_x", "axis_y", "axis_z"], ...] = Field(
        default=("flux",), description="channels zeroed before any engine sees them, to live without the sensor"
    )
    max_missing: float = Field(default=0.05, ge=0, le=1, description="of a channel's points")
    max_gap_s: float = Field(default=0.1, ge=0, description="longest run of missing points")
    max_flat: float = Field(default=0.5, ge=0, le=1, description="of a channel's points in standstills")
    warn_saturated: float = Field(default=0.06, ge=0, le=1, description="of its points at the end of its range")
    max_saturated: float = Field(default=0.2, ge=0, le=1)
    warn_imbalance: float = Field(default=0.2, gt=0, description="of the phases' amplitudes (NEMA MG 1)")
    warn_jitter: float = Field(default=0.05, gt=0, description="of the steps of time, to the usual one")
    max_lost: float = Field(default=0.01, ge=0, le=1, description="points missing where time jumps, of all")


# of alp_assets.audio.standardize, which is too heavy to be imported for them
_CLIP_SAMPLES = 160_000
_NYQUIST_HZ = 8_000


class LogmelParams(_Group):
    """Log-mel statistics of a clip; lengths in samples at 16 kHz."""

    n_mels: int = Field(default=128, gt=0)
    n_fft: int = Field(default=2048, gt=0)
    hop_length: int = Field(default=512, gt=0)
    fmin_hz: float = Field(default=0.0, ge=0)
    fmax_hz: float = Field(default=8_000.0, gt=0)
    quantiles: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.01, 0.05, 0.95, 0.99)

    @model_validator(mode="after")
    def _within_a_clip(self) -> LogmelParams:
        if not self.fmin_hz < self.fmax_hz <= _NYQUIST_HZ:
            raise ValueError(
                f"the bands from fmin_hz {self.fmin_hz:g} to fmax_hz {self.fmax_hz:g} cannot be heard; choose "
                f"fmin_hz below fmax_hz, and fmax_hz up to {_NYQUIST_HZ}, as clips are at 16 kHz"
            )
        if self.n_fft > _CLIP_SAMPLES:
            raise ValueError(
                f"n_fft {self.n_fft} is longer than a clip; choose {_CLIP_SAMPLES} samples (10 s) or fewer"
            )
        return self


class PretrainedParams(_Group):
    """Frozen transformers from checkpoints: ``ast``, ``beats`` and ``hf:<model>``."""

    ast: str = Field(
        default="MIT/ast-finetuned-audioset-10-10-0.4593", description="checkpoint of `ast`: a hub id or a folder"
    )
    beats: str = Field(default="", description="checkpoint of `beats`: its .pt file or a folder")
    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="layers kept as patches, counted from 1; none means all but the last"
    )
    pooled_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(4, 5), description="layers whose time means are the pooled embedding"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch: int = Field(default=0, ge=0, description="clips at a time, always full; 0 sizes batches to memory")
    compile: bool = Field(default=False, description="torch.compile: slow to start, then faster")


class EmbeddingParams(_Group):
    """Which encoder turns clips into embeddings, and the settings of each."""

    encoder: Annotated[str, Field(pattern=r"^(auto|alp_conv|logmel|ast|beats|hf:\S+)$")] = Field(
        default="auto", description="for engines A and B; auto takes ast where its weights are, else alp_conv"
    )
    logmel: LogmelParams = LogmelParams()
    pretrained: PretrainedParams = PretrainedParams()


class SelectionParams(_Group):
    """What `auto` goes by. Counts are normal clips of a section."""

    few_target: int = Field(default=10, gt=0, description="fewer target normals than this are few")
    much_source: int = Field(default=50, gt=0, description="source normals from which the banks are worth filling")
    metadata_share: float = Field(default=0.95, gt=0, le=1, description="of normals that carry a condition, for C")
    condition_values: int = Field(default=2, ge=2, description="values that a condition must take, for C")
    much_signal: int = Field(
        default=0, ge=0, description="normal clips of signals from which Time-MoE is trained; 0 means never"
    )


class PatchMemoryParams(_Group):
    """Engine A: patches against a memory of normal patches."""

    mode: Literal["bandwise", "faithful"] = Field(
        default="bandwise", description="faithful is the method as published"
    )
    support: int = Field(default=10, ge=2, description="most normal clips in the memory")
    upper_share: float = Field(default=0.05, gt=0, le=1, description="share of patches that make the clip score")
    memory_patches: int = Field(default=20_000, gt=0, description="patches kept for a layer (k-center coreset)")
    projection: int = Field(default=64, gt=0, description="dimensions in which the coreset is chosen")
    noise_snr_db: tuple[float, ...] = Field(
        default=(5.0, 10.0, 20.0), description="noise-only recordings are mixed into the support at these"
    )
    seed: int = 42


class MemoryBankParams(_Group):
    """Engine B: nearest neighbours over a source and a target bank."""

    k: int = Field(default=1, gt=0, description="neighbours whose mean distance is taken")
    mode: Literal["fused", "genrep", "density"] = Field(
        default="fused", description="genrep is the method as published; density needs many normals"
    )
    mixup_share: float = Field(
        default=0.9, gt=0.5, lt=1, description="MemMixup's lambda: share of the target clip"
    )
    mixup_neighbours: int = Field(default=5, ge=0, description="MemMixup's source neighbours of a target clip")
    max_normals: int = Field(default=100_000, ge=2, description="most clips in the banks")
    seed: int = 42


class MetaPrototypeParams(_Group):
    """Engine C: episodic prototypical training on tasks from metadata."""

    start: Literal["pretrained", "random"] = Field(
        default="pretrained", description="frozen convolutions of ALP's own encoder, or trained ones from chance"
    )
    k_shot: int = Field(default=3, gt=0, description="support clips of a class in an episode")
    n_way: int = Field(default=4, ge=2, description="most classes in an episode")
    episodes: int = Field(default=100, gt=0)
    embedding_dim: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    reptile: bool = Field(default=False, description="Reptile outer loop around the episodes")
    score: Literal["distance", "nll"] = "distance"
    max_normals: int = Field(default=1_000, ge=2, description="most clips that are trained on")
    seed: int = 42


class IsolationForestParams(_Group):
    """Engine L1: an isolation forest on cepstral and spectral descriptors, and physical rules."""

    trees: int = Field(default=100, gt=0)
    contamination: float = Field(
        default=0.01,
        gt=0,
        le=0.5,
        description="sets the forest's own offset, kept in the card; thresholds are ALP's",
    )
    bearing_hz: dict[Annotated[str, Field(min_length=1)], Annotated[float, Field(gt=0)]] = Field(
        default={}, description="fault frequencies by name (bpfo, bpfi, bsf, ftf); none means estimated"
    )
    shaft_hz: float = Field(default=0.0, ge=0, description="rotation frequency; 0 means estimated")
    max_normals: int = Field(default=10_000, ge=2)
    seed: int = 42


class AutoencoderParams(_Group):
    """Engine L2: reconstruction error of a dense autoencoder."""

    variant: Literal["mean", "frames"] = Field(
        default="mean", description="mean: time mean of 64 bands; frames: stacked 5 x 128, the field's baseline"
    )
    epochs: int = Field(default=50, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    max_normals: int = Field(default=2_000, ge=2, description="most clips that are trained on")
    seed: int = 42


_SoundEngine = Literal["patch_memory", "memory_bank", "meta_prototype", "isolation_forest", "autoencoder"]
_SignalEngine = Literal["time_moe", "signal_pca", "signal_spectrum", "signal_cnn"]
EngineName = _SoundEngine | _SignalEngine
SOUND_ENGINES: tuple[EngineName, ...] = get_args(_SoundEngine)
SIGNAL_ENGINES: tuple[EngineName, ...] = get_args(_SignalEngine)
ENGINE_NAMES = SOUND_ENGINES + SIGNAL_ENGINES
_LETTERS = dict(zip(("A", "B", "C", "L1", "L2", "S1", "S2", "S3", "S4"), ENGINE_NAMES, strict=True))
_RULES = ("auto", "auto+c")


def _engine_of(value: Any, rules: tuple[str, ...] = ()) -> str:
    """The name of an engine that was given by name or letter, or one of the rules that choose an engine."""
    text = value.strip() if isinstance(value, str) else ""
    found = _LETTERS.get(text.upper(), text.lower())
    if found not in (*rules, *ENGINE_NAMES):
        choices = ", ".join((*rules, *(f"{name} ({letter})" for letter, name in _LETTERS.items())))
        raise ValueError(f"{value!r} is no engine; choose {choices}")
    return found


def _choice_of(value: Any) -> str:
    return _engine_of(value, _RULES)


_Engine = Annotated[EngineName, BeforeValidator(_engine_of)]
_Choice = Annotated[Literal["auto", "auto+c"] | EngineName, BeforeValidator(_choice_of)]


class ModelParams(_Group):
    """Which engine a section gets, and its settings."""

    engine: _Choice = "auto"
    pins: dict[str, _Choice] = Field(
        default={}, description="engine by customer or customer/package, before `engine`"
    )
    second_opinions: tuple[_Engine, ...] = Field(
        default=(), description="engines that score beside the chosen one"
    )
    min_normals: int = Field(default=2, ge=2)
    selection: SelectionParams = SelectionParams()
    patch_memory: PatchMemoryParams = PatchMemoryParams()
    memory_bank: MemoryBankParams = MemoryBankParams()
    meta_prototype: MetaPrototypeParams = MetaPrototypeParams()
    isolation_forest: IsolationForestParams = IsolationForestParams()
    autoencoder: AutoencoderParams = AutoencoderParams()
    time_moe: TimeMoeParams = TimeMoeParams()
    signal_pca: SignalPcaParams = SignalPcaParams()
    signal_spectrum: SignalSpectrumParams = SignalSpectrumParams()
    signal_cnn: SignalCnnParams = SignalCnnParams()

    @field_validator("second_opinions", mode="before")
    @classmethod
    def _one_alone(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class DecisionParams(_Group):
    """Where the alarm threshold lies."""

    policy: Literal["alarms_per_day", "quantile", "gamma", "conformal"] = "alarms_per_day"
    alarms_per_day: float = Field(default=1.0, gt=0, description="false alarms that a machine may raise in a day")
    duty_cycle: float = Field(default=1.0, gt=0, le=1, description="share of the day that is listened to")
    false_alarm_rate: float = Field(
        default=0.1, gt=0, lt=1, description="share of normal clips that may ring, for the other policies"
    )
    beyond_support: Literal["persistence", "extrapolate"] = Field(
        default="persistence", description="how a rate is reached that the normals are too few for"
    )
    persistence_window: int = Field(default=6, ge=2, le=60, description="n of the k-of-n rule, in clips")
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of printed intervals")
    critical_severity: float = Field(default=75.0, gt=50, lt=100, description="severity from which it is CRITICAL")


class KpiParams(_Group):
    """What was agreed with the customer, and how much of it."""

    measure: Literal["auc", "pauc", "recall", "alarms_per_day"] = "auc"
    target: float = Field(default=0.95, gt=0, description="at least; for alarms_per_day at most")

    @model_validator(mode="after")
    def _within_reach(self) -> KpiParams:
        if self.measure != "alarms_per_day" and self.target >= 1:
            raise ValueError(f"a target of {self.target:g} for {self.measure} cannot be shown: choose one below 1")
        return self


class SensitivityParams(_Group):
    """What a model would hear: synthetic anomalies in held-out normals at falling levels."""

    enabled: bool = True
    clips: int = Field(default=8, gt=0, description="most held-out normals that are used")
    caught: float = Field(default=0.95, gt=0, le=1, description="share that the threshold must catch")
    levels_db: tuple[float, ...] = Field(
        default=(12.0, 6.0, 0.0, -6.0, -12.0, -18.0), description="levels relative to the machine, falling"
    )
    seed: int = 42

    @field_validator("levels_db")
    @classmethod
    def _not_empty(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("name at least one level, such as [6.0], or set sensitivity.enabled to false")
        return value


class PromotionParams(_Group):
    """How much worse than its section's champion a later model may be and still take its place."""

    normals: float = Field(
        default=0.2, ge=0, lt=1, description="share of the calibration normals that may be fewer"
    )
    false_alarms: float = Field(
        default=0.1, ge=0, description="share that a promise which is not as asked may be higher"
    )
    sensitivity_db: float = Field(default=3.0, ge=0, description="that the faintest anomaly caught may be louder")
    figures: float = Field(default=0.03, ge=0, le=1, description="that AUC and partial AUC may be lower")


class ReportParams(_Group):
    """What the report shows."""

    top_clips: int = Field(default=3, ge=0, le=20, description="most anomalous clips shown for each section")
    language: Literal["en", "ko"] = Field(default="en", description="in which the report opens; both are in it")


class VersionParams(_Group):
    """Snapshots of finished packages with DVC."""

    enabled: bool = True
    push: bool = Field(default=True, description="push when the repository has a default remote")
    tries: int = Field(default=5, ge=1, description="of a snapshot or a push that fails, 1, 2, 4, ... s apart")
    wait_s: float = Field(default=1800.0, gt=0, description="longest wait for the snapshots of other packages")


class OidcParams(_Group):
    """Whose bearer tokens are taken beside API keys. Without an issuer there are none."""

    issuer: str = Field(default="", description="as the tokens' `iss` says it")
    audience: str = Field(default="alp", min_length=1, description="what the tokens' `aud` must hold")
    jwks: str = Field(default="", description="the issuer's public keys: an https address or a file")
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = ("RS256", "ES256")
    role_claim: str = Field(default="alp_role", min_length=1, description="dotted path to viewer, operator, admin")
    customer_claim: str = Field(
        default="alp_customer", min_length=1, description="dotted path to a customer, or * for all"
    )

    @model_validator(mode="after")
    def _whole(self) -> OidcParams:
        if bool(self.issuer) != bool(self.jwks):
            raise ValueError("give both issuer and jwks, or neither")
        if self.jwks.startswith("http://"):
            raise ValueError("jwks must be fetched over https, or lie in a file")
        return self


class WebParams(_Group):
    """Limits of `alp serve`. Workers are processes in which recordings are decoded and scored."""

    recording_bytes: int = Field(default=64 * 2**20, gt=0, description="largest recording to diagnose")
    recording_seconds: float = Field(default=900.0, gt=0, description="longest recording to diagnose")
    package_bytes: int = Field(default=20 * 2**30, gt=0, description="largest zip")
    chunk_bytes: int = Field(default=16 * 2**20, gt=0, description="largest piece of a resumable upload")
    uploads_open: int = Field(default=20, gt=0, description="unfinished uploads that a customer may have")
    upload_hours: float = Field(default=24.0, gt=0, description="an unfinished upload is deleted after")
    check_seconds: float = Field(default=3600.0, gt=0, description="longest check of a package before it is sent")
    quick_workers: int = Field(default=0, ge=0, description="for logmel and alp_conv; 0 means one for each core")
    quick_queue: int = Field(default=64, gt=0, description="requests that may wait for them")
    quick_seconds: float = Field(default=30.0, gt=0, description="longest work on one request")
    slow_queue: int = Field(
        default=4, gt=0, description="requests that may wait for the worker of ast, beats, hf:"
    )
    slow_seconds: float = Field(default=180.0, gt=0)
    quick_memory_bytes: int = Field(default=2 * 2**30, gt=0, description="of a quick worker")
    slow_memory_bytes: int = Field(default=8 * 2**30, gt=0, description="of the slow worker")
    check_memory_bytes: int = Field(default=4 * 2**30, gt=0, description="of a process that checks a package")
    cache_bytes: int = Field(default=512 * 2**20, gt=0, description="models that a worker keeps loaded")
    session_hours: float = Field(default=12.0, gt=0, description="a browser is signed out after")
    requests_per_minute: int = Field(default=6_000, gt=0, description="by key, and by address")
    failed_sign_ins_per_minute: int = Field(default=10, gt=0, description="by address")
    streams: int = Field(default=50, gt=0, description="progress streams open at a time")
    proxies: str = Field(
        default="127.0.0.1", description="addresses of reverse proxies whose X-Forwarded headers are believed"
    )
    dagster_url: str = Field(default="", description="where people find Dagster's UI, for links")
    hsts_seconds: int = Field(default=31_536_000, ge=0, description="behind TLS; 0 leaves the header out")
    oidc: OidcParams = OidcParams()


class RunParams(_Group):
    """How the work is spread on this machine."""

    workers: int = Field(default=0, ge=0, description="threads; 0 means one for each core")
    max_memory_mb: int = Field(default=0, ge=0, description="that a run's process may hold; 0 means no limit")
    processes: int = Field(default=1, ge=1, description="that embed a large package's clips, a shard each")
    shard_clips: int = Field(default=1000, ge=1, description="clips that are embedded between two marks on disk")
    gpu_bytes: int = Field(
        default=4 * 2**30, ge=0, description="zips at least so big go to workers with a GPU where there are any"
    )

    @property
    def threads(self) -> int:
        """How many threads to use; ``$ALP_THREADS`` where several workers share the cores of a machine."""
        return self.workers or int(os.environ.get("ALP_THREADS") or len(os.sched_getaffinity(0)))


class ReferencePackage(_Group):
    """A package that `dvc repro` works through."""

    customer: str
    package: str


class Params(_Group):
    """The whole tree."""

    packages: dict[str, ReferencePackage] = {}
    synth: dict[str, Any] = {}
    upload: UploadParams = UploadParams()
    quality: QualityParams = QualityParams()
    signals: SignalParams = SignalParams()
    clips: ClipParams = ClipParams()
    embeddings: EmbeddingParams = EmbeddingParams()
    models: ModelParams = ModelParams()
    decision: DecisionParams = DecisionParams()
    kpi: KpiParams = KpiParams()
    sensitivity: SensitivityParams = SensitivityParams()
    promotion: PromotionParams = PromotionParams()
    report: ReportParams = ReportParams()
    versioned: VersionParams = VersionParams()
    web: WebParams = WebParams()
    notices: NoticeParams = NoticeParams()
    freshness: FreshnessParams = FreshnessParams()
    run: RunParams = RunParams()


def load_params(data_root: Path) -> Params:
    """Read the parameters that hold for a data root; see the module's text for where they come from."""
    chosen = os.environ.get("ALP_PARAMS")
    places = [Path(chosen)] if chosen else [data_root / "params.yaml", PROJECT / "params.yaml"]
    for place in places:
        if place.is_file():
            return read_params(place)
    if chosen:
        raise ParameterError(f"{chosen}: no such file. ALP_PARAMS must name a YAML file of parameters.")
    return Params()


def with_overrides(params: Params, overrides: Mapping[str, Any]) -> Params:
    """The parameters with some values replaced, by dotted name: ``{"models.engine": "memory_bank"}``.

    Only the tables that the user fills take entries that are not there: ``{"models.pins.acme": "auto"}``.
    """
    tree = params.model_dump()
    for name, value in overrides.items():
        if not name:
            raise ParameterError(
                f"{value!r} is given to no parameter; write its name before it, for example "
                "models.engine=memory_bank."
            )
        *groups, last = _parts(name)
        branch = tree
        for group in groups:
            branch = branch.get(group, {}) if isinstance(branch, dict) else {}
        entry = ".".join(groups) in _TABLES and bool(last)
        if not isinstance(branch, dict) or not (entry or last in branch):
            raise ParameterError(f"{name}: there is no such parameter; params.yaml shows them all.")
        branch[last] = value
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ParameterError(_findings(error)) from error


_TABLES = ("models.pins", "models.isolation_forest.bearing_hz")


def _parts(name: str) -> list[str]:
    """A dotted name in parts; an entry of a table is one part, dots and all."""
    for table in _TABLES:
        if name.startswith(f"{table}."):
            return [*table.split("."), name.removeprefix(f"{table}.")]
    return name.split(".")


def _findings(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )


def read_params(path: Path) -> Params:
    """Read one YAML file. Unknown names and impossible values are a ``ParameterError`` that lists them."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Params.model_validate(tree)
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not UTF-8 text. Save the file as UTF-8.") from error
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not readable as YAML: {error}") from error
    except ValidationError as error:
        raise ParameterError(f"{path}: {_findings(error)}") from error
