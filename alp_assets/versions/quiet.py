"""DVC speaks to people at a terminal; here it is a library, and keeps silent."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def silenced() -> Iterator[None]:
    """Keep DVC from warning of what is said in words afterwards."""
    log = logging.getLogger("dvc")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep DVC from printing, from logging what is no error, and from telling anybody that it was used."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    logging.getLogger("dvc").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        yield
