"""The Great Expectations suites over the quality table and the measures of signals, and their Data Docs.

It describes a package for people; the gates are elsewhere. Great Expectations is imported here and
nowhere else, because that takes seconds. Its pages load scripts, styles and logos from the network; here
they get a plain style of their own and load nothing.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from schemas.modalities import SOUND

SOUNDS, SIGNAL_RECORDINGS, CHANNELS = "recordings", "signal_recordings", "signal_channels"
"""The suites: recordings of sound, recordings of signals, and each channel of those."""

_SIGNAL_CONTAINERS = ("CSV", "NPY", "Parquet", "MAT", "WAV")
_LEAST_CHANNELS, _MOST_CHANNELS = 1, 4
_MAINS_HZ = (8.0, 420.0)

_REMOTE = re.compile(
    r"<script[^>]*src=[\"']https?://[^>]*>\s*</script>|<(?:link|img)[^>]*(?:href|src)=[\"']https?://[^>]*>",
    re.DOTALL,
)
_NEWSLETTER = re.compile(r"<a[^>]*href=[\"']https?://[^>]*>.*?</a>", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOAD_TIME = re.compile(r"(ge_load_time.*?>)\d{8}T\d{6}\.\d+Z(<)", re.DOTALL)
_STYLE = """<style>
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; line-height: 1.4; color: #1a202c; }
table { border-collapse: collapse; } td, th { border: 1px solid #cbd5e0; padding: .3rem .6rem; text-align: left; }
ul { padding-left: 1.2rem; } .modal, .btn, button, nav.navbar { display: none; }
</style></head>"""


def write_data_docs(
    table: pd.DataFrame,
    limits: Mapping[str, Any],
    folder: Path,
    when: datetime,
    channels: pd.DataFrame | None = None,
    signal_limits: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Validate the quality table and write Data Docs into a folder, self-contained.

    Recordings of sound and of signals have a suite each, and so have the ``channels`` of signals, a row for each
    channel, where there are any. What a package does not hold has no page.

    ``limits`` are the quality parameters by name, ``signal_limits`` those for signals; ``when`` stands on the
    pages, so that the same package gives the same bytes. Returns how many expectations were met, of how many.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    context.add_data_docs_site(
        "recordings",
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(folder.resolve()),
            },
        },
    )
    sounds, signals = table[table["modality"] == SOUND], table[table["modality"] != SOUND]
    expect = gx.expectations
    suites = [(SOUNDS, sounds, _of_sounds(expect, limits)), (SIGNAL_RECORDINGS, signals, _of_signals(expect))]
    if channels is not None and signal_limits is not None:
        suites.append((CHANNELS, channels, _of_channels(expect, signal_limits)))
    source, counts = context.data_sources.add_pandas("package"), {"met": 0, "expectations": 0}
    for name, rows, expectations in suites:
        if not len(rows):
            continue
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        run = RunIdentifier(run_name="package", run_time=when)
        result = definition.run(batch_parameters={"dataframe": _escaped(rows)}, run_id=run)
        counts["met"] += int(result.statistics["successful_expectations"])
        counts["expectations"] += int(result.statistics["evaluated_expectations"])
    context.build_data_docs()
    _make_self_contained(folder, when)
    return counts


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    """A copy whose text is escaped: the pages show cells as they are."""
    table = table.copy()
    names: list[str] = table.select_dtypes("str").columns.tolist()
    for name in names:
        table[name] = table[name].map(html.escape)
    return table


def _make_self_contained(folder: Path, when: datetime) -> None:
    """Let the pages load nothing, and depend on nothing but the package."""
    shutil.rmtree(folder / "static", ignore_errors=True)
    pages = sorted(path for path in folder.rglob("*.html") if path.name != "index.html")
    for page in pages:
        text = _NEWSLETTER.sub("", _REMOTE.sub("", page.read_text(encoding="utf-8")))
        text = _LOAD_TIME.sub(rf"\g<1>{when.isoformat()}\g<2>", text)
        for number, name in enumerate(dict.fromkeys(_UUID.findall(text))):
            text = text.replace(name, str(number))
        page.write_text(text.replace("</head>", _STYLE, 1), encoding="utf-8")
    links = "".join(
        f'<li><a href="{path.relative_to(folder).as_posix()}">{path.relative_to(folder).parts[0]}</a></li>'
        for path in pages
    )
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>{_STYLE}'
        f"<body><h1>Data Docs</h1><ul>{links}</ul></body></html>\n",
        encoding="utf-8",
    )


def _of_any(expect: Any) -> list[Any]:
    """What holds of recordings of any kind."""
    return [
        expect.ExpectTableRowCountToBeBetween(min_value=1),
        expect.ExpectColumnValuesToBeUnique(column="clip_id"),
        expect.ExpectColumnValuesToBeInSet(column="verdict", value_set=["ok"]),
    ]


def _of_signals(expect: Any) -> list[Any]:
    between = expect.ExpectColumnValuesToBeBetween
    return [
        *_of_any(expect),
        expect.ExpectColumnValuesToBeInSet(column="container", value_set=list(_SIGNAL_CONTAINERS)),
        between(column="duration_s", min_value=0, strict_min=True),
        between(column="sample_rate_hz", min_value=0, strict_min=True),
        between(column="channels", min_value=_LEAST_CHANNELS, max_value=_MOST_CHANNELS),
    ]


def _of_channels(expect: Any, limits: Mapping[str, Any]) -> list[Any]:
    between = expect.ExpectColumnValuesToBeBetween
    return [
        between(column="points", min_value=limits["clip_points"]),
        between(column="rms", min_value=0, strict_min=True),
        between(column="missing", max_value=limits["max_missing"]),
        between(column="flat", max_value=limits["max_flat"]),
        between(column="saturated", max_value=limits["warn_saturated"]),
        between(column="spikes", max_value=0),
        between(column="mains_hz", min_value=_MAINS_HZ[0], max_value=_MAINS_HZ[1]),
        between(column="imbalance", max_value=limits["warn_imbalance"]),
        expect.ExpectColumnValuesToBeInSet(column="phase_order", value_set=["abc", ""]),
        expect.ExpectColumnValuesToBeInSet(column="upside_down", value_set=[""]),
        between(column="jitter", max_value=limits["warn_jitter"]),
        between(column="gaps", max_value=0),
        between(column="points_lost", max_value=0),
    ]


def _of_sounds(expect: Any, limits: Mapping[str, Any]) -> list[Any]:
    between = expect.ExpectColumnValuesToBeBetween
    return [
        *_of_any(expect),
        expect.ExpectColumnValuesToBeInSet(column="container", value_set=["WAV", "FLAC"]),
        expect.ExpectColumnValuesToNotBeNull(column="rms_dbfs"),
        between(column="duration_s", min_value=limits["min_duration_s"], max_value=limits["max_duration_s"]),
        between(column="sample_rate_hz", min_value=limits["min_sample_rate_hz"]),
        between(column="channels", min_value=1, max_value=limits["max_channels"]),
        between(column="rms_dbfs", min_value=limits["silence_dbfs"], max_value=0),
        between(column="peak_dbfs", max_value=0.1),
        between(column="clipping_ratio", max_value=limits["max_clipping_ratio"]),
        between(column="silence_ratio", max_value=limits["max_silence_ratio"]),
        between(column="dropout_ratio", max_value=limits["max_dropout_ratio"]),
        between(column="dc_offset", max_value=limits["max_dc_offset"]),
        between(column="bandwidth_hz", min_value=limits["warn_bandwidth_hz"]),
        between(column="clipping_runs", max_value=0),
        between(column="hum_db", max_value=limits["warn_hum_db"]),
        between(column="gusts_db", max_value=limits["warn_gusts_db"]),
        between(column="snr_estimate_db", min_value=limits["warn_snr_db"]),
        between(
            column="level_step_db", min_value=-limits["warn_gain_step_db"], max_value=limits["warn_gain_step_db"]
        ),
        between(column="section_drift_db", max_value=limits["warn_drift_db"]),
        expect.ExpectColumnValuesToBeInSet(column="near_copy_of", value_set=[""]),
        expect.ExpectColumnValuesToBeInSet(column="fits_section", value_set=[""]),
    ]
