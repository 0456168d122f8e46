"""Log lines as JSON, one object each, for machines that collect them: ``ALP_LOG=json``.

Every line has ``time``, ``level``, ``logger`` and ``message``; ``package``, ``section``, ``stage`` and ``run_id``
where they are known, from whatever code logs inside ``logging_about`` or gives them as ``extra``. Passwords,
tokens and keys are taken out of all of it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from alp_assets.watch.redact import redact

CHOICE = "ALP_LOG"
_ABOUT = ("package", "section", "stage", "run_id")
_PARTITION = "dagster/partition"
_about: ContextVar[Mapping[str, str]] = ContextVar("alp_log_about", default={})  # noqa: B039 - never changed


def wanted() -> bool:
    """Whether log lines are to be JSON."""
    return os.environ.get(CHOICE, "").strip().lower() == "json"


@contextmanager
def logging_about(**names: str) -> Iterator[None]:
    """Lines that are logged in the block tell the package, section or stage that they are about."""
    token = _about.set({**_about.get(), **{name: value for name, value in names.items() if value}})
    try:
        yield
    finally:
        _about.reset(token)


def set_up(stream: TextIO | None = None, level: int = logging.INFO) -> bool:
    """Write the log of this process as JSON lines to the standard error, where ``ALP_LOG`` asks for it.

    Libraries that bring handlers of their own, as Dagster's console and uvicorn do, keep them and write JSON too.
    Calling it again changes nothing. Returns whether the lines are JSON.
    """
    if not wanted():
        return False
    root = logging.getLogger()
    if not any(isinstance(known.formatter, JsonFormatter) for known in root.handlers):
        root.handlers[:] = [handler(stream)]
        root.setLevel(level)
        logging.setLoggerClass(_JsonLogger)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # tells of every opened database
        logging.captureWarnings(True)
        sys.excepthook = _log_crash
    return True


def handler(stream: TextIO | None = None) -> logging.Handler:
    """A handler that writes JSON lines."""
    made = logging.StreamHandler(stream or sys.stderr)
    made.setFormatter(JsonFormatter())
    return made


class JsonFormatter(logging.Formatter):
    """One JSON object for each record; never raises, whatever the record holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without line breaks."""
        meta = getattr(record, "dagster_meta", None) or {}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": str(meta.get("orig_message") or _message(record)),
            "process": record.process,
            **_about.get(),
            **_of_dagster(meta),
        }
        for name in _ABOUT:
            if (value := getattr(record, name, None)) is not None:
                line[name] = str(value)
        line |= getattr(record, "fields", None) or {}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = self.formatException(record.exc_info)
        elif meta.get("dagster_event") is not None:
            line |= _event(meta["dagster_event"])
        return json.dumps(_clean(line), ensure_ascii=False, default=str)


class _JsonLogger(logging.Logger):
    """A logger whose handlers write JSON lines, whatever they were made to write."""

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - as logging calls it
        hdlr.setFormatter(JsonFormatter())
        super().addHandler(hdlr)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return f"{record.msg} {record.args}"


def _of_dagster(meta: Mapping[str, Any]) -> dict[str, str]:
    tags = meta.get("job_tags") or {}
    known = {"run_id": meta.get("run_id"), "stage": meta.get("step_key"), "package": tags.get(_PARTITION)}
    return {name: str(value) for name, value in known.items() if value}


def _event(event: Any) -> dict[str, Any]:
    """What an event of Dagster's is, and why a step failed."""
    found: dict[str, Any] = {"event": event.event_type_value}
    if event.event_type_value == "STEP_FAILURE":
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            found["error"] = failure.user_failure_data.description
        elif failure.error is not None:
            found["error"], found["trace"] = failure.error.cls_name, failure.error.to_string()
    return found


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _log_crash(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    logging.getLogger("alp").critical("%s", error, exc_info=(kind, error, trace))
