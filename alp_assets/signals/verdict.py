"""What ails a signal recording: errors set it aside, warnings are only told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alp_assets.signals.clock import agree
from alp_assets.signals.measure import ChannelMeasures, SignalMeasures
from alp_assets.signals.recording import Clock, SignalRecording
from alp_assets.signals.roles import PHASES
from schemas.problems import Problem, Severity, Value

_USUAL_MAINS = (50.0, 60.0)
_MAINS_WITHIN = 1.5


@dataclass(frozen=True)
class Limits:
    """From where on something is a problem. Shares are 0 to 1.

    Args:
        clip_points: points of a clip; a shorter recording has none.
        max_missing: of a channel's points; more set the recording aside.
        max_gap_s: the longest run of missing points.
        max_flat: of a channel's points in standstills.
        warn_saturated: of its points at the end of its range; a coarse converter has some at every crest.
        max_saturated: the same, where it sets the recording aside.
        warn_imbalance: of the phases.
        warn_jitter: of the steps of time.
        max_lost: points that are missing where time jumps, of all.
    """

    clip_points: int = 8192
    max_missing: float = 0.05
    max_gap_s: float = 0.1
    max_flat: float = 0.5
    warn_saturated: float = 0.06
    max_saturated: float = 0.2
    warn_imbalance: float = 0.2
    warn_jitter: float = 0.05
    max_lost: float = 0.01


def judge(
    recording: SignalRecording, found: SignalMeasures, limits: Limits, *, learned: bool, modality: str = "current"
) -> Iterator[Problem]:
    """The problems of a recording, without a place.

    Args:
        recording: as it was read.
        found: what was measured of it.
        limits: from where on something is a problem.
        learned: whether it is to be learned from. What may be a fault of the machine, such as an open phase, sets
            a recording aside there, and is only told where it is to be judged.
        modality: as the table states it.
    """
    yield from recording.warnings
    if found.points < limits.clip_points:
        seconds = limits.clip_points / found.sample_rate_hz
        needed = {"points": found.points, "least": limits.clip_points, "seconds": seconds}
        yield Problem("error", "signal_too_short", needed)
    if recording.spikes.count:
        first = recording.spikes
        spikes: dict[str, Value] = {"channel": first.channel, "row": first.row}
        yield Problem("warning", "signal_spikes", spikes | {"count": first.count, "value": first.value})
    if recording.clock:
        yield from _judge_clock(recording.clock, found.points, limits)
    if all(channel.rms == 0 for channel in found.channels):
        yield Problem("error", "signal_dead")
        return
    for channel in found.channels:
        yield from _judge_channel(channel, found.sample_rate_hz, limits, learned=learned)
    if modality == "current":
        yield from _judge_phases(found, limits)


def differing_rates(rates: Mapping[str, float]) -> dict[str, Problem]:
    """Recordings (by any name) of one machine whose rate is not that of most, each with its problem.

    Windows of another rate would span another time, so these are set aside. Of two rates that are equally
    frequent the higher one is the usual one.
    """
    groups: dict[float, Counter[float]] = {}
    for rate in sorted(rates.values(), reverse=True):
        near = next((known for known in groups if agree(rate, known)), rate)
        groups.setdefault(near, Counter())[rate] += 1
    if len(groups) < 2:
        return {}
    largest = max(groups, key=lambda known: (groups[known].total(), known))
    usual = groups[largest].most_common(1)[0][0]
    return {
        name: Problem("error", "signal_rate_in_section", {"rate": rate, "usual": usual})
        for name, rate in rates.items()
        if not agree(rate, usual)
    }


def _judge_clock(clock: Clock, points: int, limits: Limits) -> Iterator[Problem]:
    if clock.coarse:
        yield Problem("warning", "signal_clock_coarse")
    if clock.gaps:
        share = clock.missing / (points + clock.missing)
        severity: Severity = "error" if share > limits.max_lost else "warning"
        yield Problem(severity, "signal_gaps", {"gaps": clock.gaps, "missing": clock.missing, "share": share})
    if clock.jitter > limits.warn_jitter:
        yield Problem("warning", "signal_jitter", {"jitter": clock.jitter})


def _judge_channel(channel: ChannelMeasures, rate: float, limits: Limits, *, learned: bool) -> Iterator[Problem]:
    name = {"channel": channel.role}
    perhaps_a_fault: Severity = "error" if learned else "warning"
    longest_s = channel.longest_missing / rate
    if channel.missing > limits.max_missing or longest_s > limits.max_gap_s:
        values = name | {"share": channel.missing, "longest_s": longest_s}
        yield Problem("error", "signal_missing_values", values)
    elif channel.missing > 0:
        yield Problem("warning", "signal_few_missing_values", name | {"share": channel.missing})
    if channel.rms == 0:
        yield Problem(perhaps_a_fault, "signal_channel_dead", name)
        return
    if channel.flat > limits.max_flat:
        yield Problem(perhaps_a_fault, "signal_flat", name | {"share": channel.flat})
    elif channel.saturated > limits.warn_saturated:
        severity: Severity = "error" if channel.saturated > limits.max_saturated else "warning"
        yield Problem(severity, "signal_saturated", name | {"share": channel.saturated})
    if abs(channel.offset) > channel.rms:
        yield Problem("warning", "signal_offset", name | {"offset": channel.offset, "rms": channel.rms})


def _judge_phases(found: SignalMeasures, limits: Limits) -> Iterator[Problem]:
    roles = {channel.role for channel in found.channels}
    absent = [role for role in PHASES if role not in roles]
    if absent:
        yield Problem("warning", "signal_phase_missing", {"roles": absent})
    if found.mains_hz is None:
        yield Problem("warning", "signal_no_mains")
    elif min(abs(found.mains_hz - usual) for usual in _USUAL_MAINS) > _MAINS_WITHIN:
        yield Problem("warning", "signal_mains", {"hz": found.mains_hz})
    if not found.phases:
        return
    if found.phases.upside_down:
        yield Problem("warning", "signal_polarity", {"channel": found.phases.upside_down})
    if found.phases.order == "acb":
        yield Problem("warning", "signal_phase_order")
    if found.phases.imbalance > limits.warn_imbalance:
        yield Problem("warning", "signal_imbalance", {"share": found.phases.imbalance})
