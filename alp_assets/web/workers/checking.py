"""A worker's look at a package's zip before it is queued."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alp_assets.errors import AlpError, ArchiveRefused
from alp_assets.files import write_json
from alp_assets.params import Params
from alp_assets.progress import Progress

_TELL_EVERY_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """A zip that is to be checked as if it were a customer's package.

    What is found is written to ``told``, also how far it is; ``scratch`` is thrown away afterwards. With
    ``rules_alone`` only the archive is looked at.
    """

    archive: Path
    customer: str
    package: str
    data_root: Path
    scratch: Path
    told: Path
    rules_alone: bool = False


def answer(check: Check, state: dict[str, Any]) -> bytes:
    """``+`` when the check ended, whatever it found; ``-`` and the problem when the zip cannot be taken."""
    from alp_assets.web.views import checks

    params: Params = state["start"].model_copy(
        update={"quality": state["start"].quality.model_copy(update={"data_docs": False})}
    )
    try:
        if check.rules_alone:
            return _rules(check, params)
        write_json(check.told, checks.found(_preflight(check, params), params))
    except ArchiveRefused as error:
        return _refused(str(error), [checks.problem(item) for item in error.problems])
    except AlpError as error:
        write_json(check.told, checks.failed(str(error)))
    except MemoryError:
        write_json(check.told, checks.failed("The check takes more memory than is allowed."))
    except Exception:
        _log.exception("the check of a package broke")
        write_json(check.told, checks.failed("The check broke. The server's log says where."))
    return b"+"


def _rules(check: Check, params: Params) -> bytes:
    from alp_assets.intake.archive import open_archive

    with open_archive(check.archive, params.upload):
        return b"+"


def _preflight(check: Check, params: Params) -> Any:
    from alp_assets.stages.package import PackageFolder
    from alp_assets.stages.preflight import preflight

    folder = PackageFolder(check.scratch, check.customer, check.package)
    return preflight(folder, check.archive, check.data_root, params, _telling(check.told))


def _telling(told: Path) -> Callable[[str], Progress]:
    """Progress of stages that is written to a file, a few times a second at most."""
    from alp_assets.web.views import checks

    last = 0.0

    def of_stage(stage: str) -> Progress:
        def progress(done: int, total: int, what: str) -> None:
            nonlocal last
            if time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                write_json(told, checks.running(stage, done, total, what))

        return progress

    return of_stage


def _refused(detail: str, problems: list[dict[str, Any]]) -> bytes:
    told = {"kind": "archive-refused", "detail": detail, "more": {"problems": problems}}
    return b"-" + json.dumps(told, ensure_ascii=False).encode()
