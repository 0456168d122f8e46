"""What the collection form and the reader of the filled form agree on."""

from __future__ import annotations

CONTRACT_VERSION = "1.0"
"""Of the columns in ``schemas.columns``; it stands in a hidden sheet of every form that is sent out."""

EXAMPLE_MARKS = ("예시:", "example:")
"""What ``relative_path`` begins with in the form's example row, which is no data; in any letter case."""


def is_example(path: str) -> bool:
    """Whether a cell of ``relative_path`` marks its row as the example of the form."""
    return path.strip().lower().startswith(EXAMPLE_MARKS)
