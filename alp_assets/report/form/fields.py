"""The columns of the spreadsheet as a customer sees them, for recordings of sound and for measured signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alp_assets.report.form.amounts import Need
from schemas.columns import COLUMNS, Column
from schemas.modalities import SIGNALS
from schemas.texts import Language, read_texts

_EXAMPLE_TIME = datetime(2026, 3, 5, 10, 10)
_EXAMPLE_CHOICES = {"split": "train", "domain": "target", "label": "normal"}
_EXAMPLE_RATE_HZ = 10_000

_REQUIRED = ("operator_confirmed",)
_RECOMMENDED = ("split", "supp_type", "mic_position_id", "speed_level")

_REQUIRED_OF_SIGNALS = ("operator_confirmed", "modality")
_RECOMMENDED_FOR_SIGNALS = ("sample_rate_hz", "channels", "split", "load_level", "speed_level")
_OF_SOUND_ALONE = ("mic_position_id", "noise_id", "snr_db", "supp_type")
_VALUES_OF_SIGNALS = {"modality": SIGNALS, "split": ("train", "test", "validation")}


@dataclass(frozen=True)
class Field:
    """A column of the sheet: the contract's column, its letter in Excel, and its words.

    ``choices`` are the words to choose from by their values, empty for free text.
    """

    column: Column
    letter: str
    need: Need
    header: str
    help: str
    choices: Mapping[str, str]

    @property
    def needed_always(self) -> bool:
        """Whether no row does without it, whatever its split."""
        return self.need == "required" and self.column.name not in _REQUIRED


def words_of(language: Language, *, signals: bool) -> Mapping[str, Any]:
    """The texts of the form; those for signals stand in for the ones of sound."""
    texts = read_texts("form", language)
    return _over(texts, read_texts("form_signals", language)) if signals else texts


def fields_of(machine_type: str, texts: Mapping[str, Any], *, signals: bool) -> list[Field]:
    """The columns as they stand in the sheet: what is required first, the contract's order within."""
    from openpyxl.utils import get_column_letter

    order: tuple[Need, ...] = ("required", "recommended", "optional")
    columns = [column for column in COLUMNS if not (signals and column.name in _OF_SOUND_ALONE)]
    columns.sort(key=lambda column: order.index(_needed(column, signals=signals)))
    return [
        Field(
            column,
            get_column_letter(place),
            _needed(column, signals=signals),
            texts["columns"][column.name]["header"],
            texts["columns"][column.name]["help"],
            _choices(column, machine_type, texts, signals=signals),
        )
        for place, column in enumerate(columns, start=1)
    ]


def example(machine_type: str, texts: Mapping[str, Any], *, signals: bool) -> dict[str, Any]:
    """The cells of the example row by the names of their columns, marked as no data."""
    sheet, section = texts["sheet"], texts["machines"][machine_type]["example_section"]
    folder, ending = ("signals", "csv") if signals else ("audio", "wav")
    values = {
        "relative_path": f"{sheet['mark']} {folder}/{section}/{_EXAMPLE_TIME:%Y%m%d_%H%M}.{ending}",
        "machine_type": sheet["values"]["machine_type"][machine_type],
        "section_id": section,
        "recorded_at": _EXAMPLE_TIME,
        "operator_confirmed": sheet["yes"],
        **{name: sheet["values"][name][value] for name, value in _EXAMPLE_CHOICES.items()},
        **sheet["example"],
    }
    if signals:
        values |= {"modality": sheet["values"]["modality"]["current"], "sample_rate_hz": _EXAMPLE_RATE_HZ}
        values |= {"channels": sheet["suggested_channels"][0]}
    return values


def _needed(column: Column, *, signals: bool) -> Need:
    """How much a column is asked for in the form."""
    if column.required or column.name in (_REQUIRED_OF_SIGNALS if signals else _REQUIRED):
        return "required"
    return "recommended" if column.name in (_RECOMMENDED_FOR_SIGNALS if signals else _RECOMMENDED) else "optional"


def _choices(column: Column, machine_type: str, texts: Mapping[str, Any], *, signals: bool) -> dict[str, str]:
    """The words to choose from by their values, the form's own machine type first; none for free text."""
    if column.kind == "flag":
        return {"yes": texts["yes"], "no": texts["no"]}
    values = [value for value, _ in column.values]
    if signals and column.name in _VALUES_OF_SIGNALS:
        values = [value for value in values if value in _VALUES_OF_SIGNALS[column.name]]
    values.sort(key=lambda value: value != machine_type)
    return {value: texts["values"][column.name][value] for value in values}


def _over(texts: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Texts of any nesting with those of another tree over them."""
    merged = dict(texts)
    for name, value in others.items():
        known = merged.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[name] = _over(known, value) if both else value  # type: ignore[arg-type]
    return merged
