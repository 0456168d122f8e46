"""Recordings that are to be judged at once."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from alp_assets.engines.store import CARD_FILE, SECOND
from alp_assets.registry.records import State, Version
from alp_assets.web.guard import Operator, Shared, visible_model, visible_section
from alp_assets.web.identity import Identity
from alp_assets.web.problems import Problem
from alp_assets.web.routes.answers import DIAGNOSIS, form, shows
from alp_assets.web.services import Services
from alp_assets.web.workers.asked import DEFAULT_PARTS, PARTS, Job, Look
from schemas.sections import Section

router = APIRouter(prefix="/diagnoses", tags=["diagnoses"])

LEVELS = {"level1": "isolation_forest", "level2": "autoencoder"}
CHAMPION = "champion"
_MOST_LOOKS = 5
_MOST_FIELDS = 40
_LONGEST_FIELD = 4_096
_LONGEST_NAME = 200

_FORM = form(
    "multipart/form-data",
    {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "wav, flac, ogg, aiff, w64, rf64 or caf",
            },
            "model_id": {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_LOOKS},
            "section": {"type": "string", "description": "customer/machine_type/section_id"},
            "model_preference": {
                "type": "array",
                "items": {"type": "string", "enum": [CHAMPION, *LEVELS]},
                "default": [CHAMPION],
            },
            "include": {
                "type": "array",
                "items": {"type": "string", "enum": [*PARTS, "all"]},
                "default": sorted(DEFAULT_PARTS),
            },
        },
    },
)


@router.post("", responses=shows(DIAGNOSIS), openapi_extra=_FORM)
async def diagnose(request: Request, identity: Operator, services: Shared) -> Response:
    """Judge one recording with one or several models.

    Name the models by ``model_id``, or a ``section`` with ``model_preference``.
    """
    began = time.perf_counter()
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELD) as fields:
        upload = fields.get("file")
        if not isinstance(upload, UploadFile):
            raise Problem("invalid", "body.file: send the recording as the form's field `file`.")
        parts = _parts(fields)
        looks = await run_in_threadpool(_looks, services, identity, fields)
        name = PurePosixPath(upload.filename or "").name[:_LONGEST_NAME] or "recording"
        with _kept(upload, services.scratch) as path:
            head = {"id": str(uuid.uuid4()), "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
            told = await services.desk.diagnose(Job(path, name, looks, parts, head))
    request.state.about = {"models": [look.version.version for look in looks], "id": head["id"]}
    took = f'"took_s":{time.perf_counter() - began:.4f},'.encode()
    return Response(b"{" + took + told[1:], media_type="application/json")


def _parts(fields: FormData) -> frozenset[str]:
    words = [
        word.strip() for text in fields.getlist("include") if isinstance(text, str) for word in text.split(",")
    ]
    wanted = {word for word in words if word}
    if unknown := wanted - {*PARTS, "all"}:
        raise Problem("invalid", f"body.include: {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}, all.")
    if "all" in wanted:
        return frozenset(PARTS)
    return frozenset(wanted) or DEFAULT_PARTS


def _looks(services: Services, identity: Identity, fields: FormData) -> tuple[Look, ...]:
    """The models that are meant, each with the threshold in force."""
    known = {"file", "model_id", "section", "model_preference", "include"}
    if unknown := set(fields) - known:
        raise Problem("invalid", f"body: no field is called {', '.join(sorted(unknown))}.")
    if any("\0" in text for _, text in fields.multi_items() if isinstance(text, str)):
        raise Problem("invalid", "body: a field holds a NUL character.")
    ids = list(dict.fromkeys(str(item) for item in fields.getlist("model_id") if item))
    text = fields.get("section")
    wishes = list(dict.fromkeys(str(item) for item in fields.getlist("model_preference") if item))
    if not ids and not text:
        raise Problem("invalid", "body: name a model (model_id) or a machine (section).")
    if len(ids) + len(wishes) > _MOST_LOOKS:
        raise Problem("invalid", f"body: at most {_MOST_LOOKS} models at once.")
    looks = [_look(services, visible_model(services, identity, name), asked=name) for name in ids]
    if text:
        section = visible_section(identity, str(text))
        looks += [_preferred(services, section, wish) for wish in wishes or ([] if ids else [CHAMPION])]
    elif wishes:
        raise Problem("invalid", "body.model_preference: name the machine, too (section).")
    return tuple(looks)


def _preferred(services: Services, section: Section, wish: str) -> Look:
    if wish not in (CHAMPION, *LEVELS):
        raise Problem("invalid", f"body.model_preference: {wish}; choose {CHAMPION}, {' or '.join(LEVELS)}.")
    champion = services.models.champion(section)
    if wish == CHAMPION:
        if champion is None:
            raise Problem("model-missing", f"{section} has no model yet. Send a package with normals of it first.")
        return _look(services, champion, asked=wish)
    engine = LEVELS[wish]
    if champion is not None and champion.engine == engine:
        return _look(services, champion, asked=wish)
    # one that was registered comes before the opinion beside the champion, and a candidate before an archived one
    own = [
        item
        for state in (State.CANDIDATE, State.ARCHIVED)
        for item in services.models.find(
            customer=section.customer,
            machine_type=section.machine_type,
            section_id=section.section_id,
            engine=engine,
            state=state,
        )
    ]
    if own:
        return _look(services, own[0], asked=wish)
    if champion is not None and (champion.folder / SECOND / engine / CARD_FILE).is_file():
        return Look(champion, None, engine, wish)
    raise Problem(
        "model-missing",
        f"{section} has no {engine} ({wish}): neither a registered one nor a second opinion beside its champion. "
        f"Fit one, for example with models.second_opinions: [{engine}].",
    )


def _look(services: Services, version: Version, *, asked: str) -> Look:
    thresholds = services.models.thresholds(version.version)
    return Look(version, thresholds[-1] if thresholds else None, "", asked)


@contextmanager
def _kept(upload: UploadFile, scratch: Path) -> Iterator[Path]:
    """The upload as a file that a worker can open, deleted afterwards."""
    path = scratch / f"{secrets.token_hex(16)}.recording"
    try:
        with path.open("xb") as target:
            while chunk := upload.file.read(1 << 20):
                target.write(chunk)
        yield path
    finally:
        path.unlink(missing_ok=True)
