"""Running a stage as an asset: call it, show its summary, turn ALP's errors into plain failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pandas as pd

from alp_assets.assets.workplace import Workplace
from alp_assets.errors import AlpError
from alp_assets.home import keep_caches_in
from alp_assets.registry.records import RegistryAway
from alp_assets.stages.catalog import stage_function
from alp_assets.stages.package import PackageFolder
from alp_assets.stages.summary import Summary
from alp_assets.watch.logs import logging_about
from alp_assets.watch.stage_lines import stage_ended

Metadata = dict[str, Any]
OWNERS = ["team:alp"]
AWAY_TRIES, AWAY_S = 4, 15.0
"""For so long the registry's server may be away from a step."""

_TABLE_ROWS = 100


def run_stage_asset(
    context: dg.AssetExecutionContext,
    workplace: Workplace,
    stage: str,
    show: Callable[[PackageFolder, Summary], Metadata] | None = None,
    **more: Any,
) -> dg.MaterializeResult[None]:
    """Run a stage on the partition of the run. ``show`` adds metadata of its own to the summary's."""
    keep_caches_in(workplace.data_root)
    began = time.monotonic()
    with plain_failures():
        folder = workplace.folder(context.partition_key)
        with logging_about(package=folder.key, stage=stage):
            summary = stage_function(stage)(folder, workplace.params(), workplace.watch(stage, context), **more)
    stage_ended(folder, summary, time.monotonic() - began)
    if workplace.told:
        workplace.told(summary)
    metadata = summary_metadata(summary)
    metadata["folder"] = dg.MetadataValue.path(folder.stage(stage))
    return dg.MaterializeResult(metadata=metadata | (show(folder, summary) if show else {}))


@contextmanager
def plain_failures() -> Iterator[None]:
    """An ``AlpError`` becomes a step failure with its text instead of a stack trace.

    Where the registry's server is away the step is tried again: one that was killed or restarted is back soon.
    """
    try:
        yield
    except RegistryAway as error:
        raise dg.RetryRequested(max_retries=AWAY_TRIES, seconds_to_wait=AWAY_S) from error
    except AlpError as error:
        raise dg.Failure(str(error), metadata={"error": type(error).__name__}, allow_retries=False) from None


def summary_metadata(summary: Summary) -> Metadata:
    """Figures as they are (Dagster plots numbers over partitions), tables as tables."""
    tables = {name: table_metadata(table) for name, table in summary.tables.items() if len(table)}
    return {**plain(summary.figures), **tables}


def plain(figures: Mapping[str, int | float | str]) -> Metadata:
    """Figures as Dagster metadata."""
    return {name: value for name, value in figures.items() if value != ""}


def table_metadata(table: pd.DataFrame) -> dg.TableMetadataValue:
    """The first rows of a table, with the types of its columns."""
    shown = table.head(_TABLE_ROWS).astype(object).where(table.head(_TABLE_ROWS).notna(), "")
    records = [dg.TableRecord({str(k): _cell(v) for k, v in row.items()}) for row in shown.to_dict("records")]
    columns = [dg.TableColumn(str(name), _kind(dtype)) for name, dtype in table.dtypes.items()]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def schema_metadata(schema: Any) -> dg.TableSchema:
    """Dagster's table schema of a pandera schema."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(column.dtype).removesuffix("[pyarrow]"),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique),
            )
            for name, column in schema.columns.items()
        ]
    )


def _cell(value: Any) -> str | int | float | bool:
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    return value.item() if hasattr(value, "item") else str(value)


def _kind(dtype: Any) -> str:
    return {"i": "int", "f": "float", "b": "bool"}.get(getattr(dtype, "kind", "O"), "string")
