"""The Great Expectations suite over the quality table, and its Data Docs.

It describes a package for people; the gates are elsewhere. Great Expectations is imported here and
nowhere else, because that takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

SUITE = "recordings"


def write_data_docs(table: pd.DataFrame, limits: Mapping[str, Any], folder: Path) -> dict[str, int]:
    """Validate the quality table and write Data Docs into a folder, offline.

    ``limits`` are the quality parameters by name. Returns how many expectations were met, of how many.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations as gx
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
    suite = context.suites.add(
        gx.ExpectationSuite(name=SUITE, expectations=_expectations(gx.expectations, limits))
    )
    batch = (
        context.data_sources.add_pandas("package")
        .add_dataframe_asset("recordings")
        .add_batch_definition_whole_dataframe("all")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=SUITE, data=batch, suite=suite)
    )
    result = definition.run(batch_parameters={"dataframe": table})
    context.build_data_docs()
    statistics = result.statistics
    return {
        "met": int(statistics["successful_expectations"]),
        "expectations": int(statistics["evaluated_expectations"]),
    }


def _expectations(expect: Any, limits: Mapping[str, Any]) -> list[Any]:
    between = expect.ExpectColumnValuesToBeBetween
    return [
        expect.ExpectTableRowCountToBeBetween(min_value=1),
        expect.ExpectColumnValuesToBeUnique(column="clip_id"),
        expect.ExpectColumnValuesToBeInSet(column="verdict", value_set=["ok"]),
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
    ]
