"""A worker's work on one recording: decode it, let every model that was asked judge it, and tell of it in JSON."""

from __future__ import annotations

import json
import logging
from typing import Any

from alp_assets.errors import AlpError
from alp_assets.sandbox.owner import work_for
from alp_assets.web.workers.asked import SPECTROGRAM, WAVEFORM, Job, Start, loaded_model, read_model

_OF_PATIENCE = 0.8
"""Share of a request's time after which decoding is stopped: then there is time to say so."""

_log = logging.getLogger(__name__)


def prepare(state: dict[str, Any]) -> None:
    """Import what the first request would have to wait for, and use the encoder that ALP comes with once."""
    import numpy as np

    from alp_assets.encoders.base import Sound
    from alp_assets.encoders.catalog import SHIPPED, make_encoder
    from alp_assets.registry.cache import ModelCache
    from alp_assets.web.workers import results  # noqa: F401

    start: Start = state["start"]
    encoder = make_encoder(SHIPPED, start.params.embeddings, start.data_root)
    encoder.encode([Sound(np.zeros(16_000, np.float32))], ["pooled"])
    state["cache"] = ModelCache(read_model, lambda item: item.bytes, start.cache_bytes)


def answer(job: Job, state: dict[str, Any]) -> bytes:
    """``+`` and the diagnosis as JSON, or ``-`` and the kind of problem with its words."""
    from alp_assets.stages.diagnosis import RecordingUnusable

    try:
        return b"+" + _json(_diagnosis(job, state))
    except RecordingUnusable as error:
        problems = [{language: _told(item, language) for language in ("en", "ko")} for item in error.problems]
        detail = " ".join(item["en"]["problem"] for item in problems)
        remedy = " ".join(dict.fromkeys(item["en"]["remedy"] for item in problems))
        return _refused("audio-unusable", detail, remedy=remedy, problems=problems)
    except AlpError as error:
        from alp_assets.web.problems import problem_of

        problem = problem_of(error)
        return _refused(problem.kind, str(error))
    except MemoryError:
        prepare(state)  # lets go of all models
        return _refused(
            "audio-unusable",
            "The recording takes more memory than is allowed.",
            remedy="Send a shorter one, or one with fewer channels.",
        )
    except Exception:
        _log.exception("a diagnosis broke")
        return _refused("internal", "The analysis broke. The server's log says where.")


def _diagnosis(job: Job, state: dict[str, Any]) -> dict[str, Any]:
    from alp_assets.stages.diagnosis import Heard
    from alp_assets.web.workers.results import result_of

    start: Start = state["start"]
    work_for(job.looks[0].version.section.customer)
    loaded = [loaded_model(look, state) for look in job.looks]
    limits = start.params.quality
    patience = min(limits.decode_seconds, _OF_PATIENCE * start.params.web.quick_seconds)
    limits = limits.model_copy(update={"decode_seconds": patience})
    params = start.params.model_copy(update={"clips": loaded[0].clips, "quality": limits})
    heard = Heard(job.path, params, job.name, start.params.web.recording_seconds)
    results = [
        result_of(look, item, heard, job.parts, state) for look, item in zip(job.looks, loaded, strict=True)
    ]
    info = heard.info
    return {
        **job.head,
        "recording": {
            "name": job.name,
            "seconds": round(info.duration_s, 3),
            "sample_rate_hz": info.sample_rate_hz,
            "channels": info.channels,
            "container": info.container,
            "warnings": [
                {language: " ".join(_told(item, language).values()) for language in ("en", "ko")}
                for item in heard.warnings
            ],
        },
        "results": results,
        **_displays(heard.clips(loaded[0].clips), job.parts),
    }


def _displays(clips: Any, parts: frozenset[str]) -> dict[str, Any]:
    """What there is to see of the recording itself."""
    if not parts & {WAVEFORM, SPECTROGRAM}:
        return {}
    from alp_assets.web.workers import pictures

    samples = pictures.joined(clips)
    found: dict[str, Any] = {}
    if WAVEFORM in parts:
        found["waveform"] = pictures.waveform(samples)
    if SPECTROGRAM in parts:
        found["spectrogram"] = pictures.spectrogram_picture(samples)
    return found


def _told(problem: Any, language: Any) -> dict[str, str]:
    told: dict[str, str] = problem.told(language)._asdict()
    return told


def _refused(kind: str, detail: str, **more: Any) -> bytes:
    return b"-" + _json({"kind": kind, "detail": detail, "more": more})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
