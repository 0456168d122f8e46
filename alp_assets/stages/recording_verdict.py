"""What ails one recording: what its header and its samples tell, as problems without a place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from alp_assets.audio.decode import AudioInfo, Recording
from alp_assets.audio.measure import Measures, measure
from alp_assets.errors import AudioUnreadable, DecodingStopped
from alp_assets.params import Params, QualityParams
from alp_assets.stages.stereo import Overheard
from schemas.problems import Problem, Severity
from schemas.texts import read_texts

CONTAINERS = ("WAV", "FLAC", "OGG", "AIFF", "W64", "RF64", "CAF")
_ARROW = " → "


def judge_form(info: AudioInfo, file: str, params: Params) -> Iterator[Problem]:
    """What the header alone tells: errors set the recording aside."""
    limits, channel = params.quality, params.clips.channel
    shortest_s = max(limits.min_duration_s, params.clips.min_seconds)
    if info.container not in CONTAINERS:
        yield Problem("error", "lossy_inside", {"container": info.container})
    if info.frames == 0:
        yield Problem("error", "no_sound")
    elif info.truncated:
        declared = info.declared_frames / info.sample_rate_hz
        yield Problem("error", "cut_short", {"seconds": info.duration_s, "declared": declared})
    elif info.duration_s < shortest_s:
        yield Problem("error", "too_short", {"seconds": info.duration_s, "least": shortest_s})
    elif info.duration_s > limits.max_duration_s:
        yield Problem("error", "too_long", {"hours": limits.max_duration_s / 3600})
    if info.sample_rate_hz < limits.min_sample_rate_hz:
        yield Problem("error", "rate_too_low", {"rate": info.sample_rate_hz, "least": limits.min_sample_rate_hz})
    if info.channels > limits.max_channels:
        yield Problem("error", "too_many_channels", {"channels": info.channels})
    elif isinstance(channel, int) and channel > info.channels:
        yield Problem("error", "channel_missing", {"channel": channel, "channels": info.channels})
    if file.lower().endswith((".flac", ".ogg")) != (info.container in ("FLAC", "OGG")):
        yield Problem("warning", "name_unlike_content", {"container": info.container})
    if info.container == "OGG":
        yield Problem("warning", "lossy_ogg")


def judge_samples(recording: Recording, params: Params) -> tuple[list[Problem], Measures]:
    """What a recording's samples tell, all of which are gone through once, and what was measured."""
    limits, channel = params.quality, params.clips.channel
    overheard = Overheard(recording)
    measures = measure(overheard, channel, limits)
    problems = list(judge_sound(measures, limits))
    if not is_fatal(problems):
        problems += judge_bandwidth(measures, limits)
        if overheard.two_microphones(limits.silence_dbfs):
            problems.append(two_microphones(channel))
    return problems, measures


def judge_sound(found: Measures, limits: QualityParams) -> Iterator[Problem]:
    """What the samples tell: errors set the recording aside."""
    if found.non_finite:
        yield Problem("error", "not_finite", {"count": found.non_finite})
    if found.silence_ratio > limits.max_silence_ratio:
        yield Problem("error", "silent", {"share": found.silence_ratio, "floor": limits.silence_dbfs})
    elif found.dropout_ratio > limits.max_dropout_ratio:
        yield Problem("error", "dropouts", {"share": found.dropout_ratio})
    if found.clipping_ratio > limits.max_clipping_ratio:
        yield Problem("error", "clipped", {"share": found.clipping_ratio})
    elif found.clipping_runs > 0:
        runs, longest = found.clipping_runs, round(found.longest_clipping_ms, 2)
        yield Problem("warning", "clipped_runs", {"share": found.clipping_ratio, "runs": runs, "longest": longest})
    elif found.clipping_ratio > 0:
        yield Problem("warning", "clipped_little", {"share": found.clipping_ratio})
    if found.dc_offset > limits.max_dc_offset:
        yield Problem("error", "dc_offset", {"offset": found.dc_offset})


def judge_bandwidth(found: Measures, limits: QualityParams) -> Iterator[Problem]:
    """Whether a recording that is fine otherwise lacks the upper part of the spectrum."""
    if found.bandwidth_hz < limits.warn_bandwidth_hz:
        yield Problem("warning", "bandwidth_low", {"hz": found.bandwidth_hz})


def two_microphones(channel: int | str) -> Problem:
    """The warning that a recording's two channels are two microphones."""
    if isinstance(channel, int):
        return Problem("warning", "two_microphones", {"channel": channel})
    return Problem("warning", "two_microphones_averaged")


def unreadable(error: AudioUnreadable) -> Problem:
    """The problem of a recording that cannot be decoded, with the reason as far as it has words of its own."""
    if isinstance(error, DecodingStopped):
        return error.problem
    text = str(error)
    for key, phrase in sorted(_phrases(), key=lambda item: -len(item[1])):
        if match := re.search(re.escape(phrase) + r"(?: \((?P<detail>.*)\))?$", text, re.DOTALL):
            detail = match["detail"]
            code = "unreadable_detail" if detail else "unreadable"
            return Problem("error", code, {"why": key, **({"detail": detail} if detail else {})})
    return Problem("error", "unreadable", {"why": text})


def is_fatal(problems: Sequence[Problem]) -> bool:
    """Whether a recording with these problems is set aside."""
    return any(problem.severity != "warning" for problem in problems)


def as_json(problems: Sequence[Problem]) -> str:
    """Problems without a place, as a cell of the quality table keeps them."""
    found = [[item.severity, item.code, dict(item.values)] for item in problems]
    return json.dumps(found, ensure_ascii=False) if found else ""


def from_json(cell: str, row: int, file: str) -> list[Problem]:
    """The problems of a cell, with their place."""
    found = json.loads(cell) if cell else []
    return [Problem(severity, code, values, row=row, file=file) for severity, code, values in found]


def sentences(problems: Sequence[Problem], severity: Severity) -> list[str]:
    """The English sentences of the problems of a severity: what is wrong, an arrow, how to mend it."""
    return [_ARROW.join(problem.told("en")) for problem in problems if problem.severity == severity]


def from_sentences(severity: Severity, text: str, row: int, file: str) -> list[Problem]:
    """The problems of sentences that stand in a table without codes, one on each line."""
    pairs = [line.partition(_ARROW) for line in text.split("\n") if line]
    return [Problem.said(severity, problem, remedy, row=row, file=file) for problem, _, remedy in pairs]


def _phrases() -> list[tuple[str, str]]:
    phrases: dict[str, str] = read_texts("problems", "en")["phrases"]
    return list(phrases.items())
