"""What people say of clips: false alarms and real ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alp_assets.web.guard import Operator, Shared, Viewer, one_customer, visible_package
from alp_assets.web.problems import Problem
from alp_assets.web.routes.answers import LABEL, shows
from alp_assets.web.typed import Typed

router = APIRouter(prefix="/feedback", tags=["feedback"])


class LabelForm(BaseModel):
    """What a clip is: a false alarm is ``normal``, a real one ``anomaly``."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "example": {
                "customer": "acme",
                "package": "first",
                "clip_id": "pump-17@20s",
                "label": "normal",
                "note": "a forklift passed",
            }
        },
    )

    customer: str = Field(max_length=100)
    package: str = Field(max_length=100)
    clip_id: str = Field(min_length=1, max_length=500)
    label: Literal["normal", "anomaly"]
    note: Typed = Field(default="", max_length=1_000)


@router.get("", responses=shows({"labels": [LABEL]}))
def list_labels(
    identity: Viewer, services: Shared, customer: str | None = None, package: str | None = None
) -> JSONResponse:
    """The latest label of every clip of a customer that somebody labelled."""
    labels = services.models.labels(one_customer(identity, customer), package)
    return JSONResponse({"labels": [asdict(item) for item in labels]})


@router.post("", status_code=201, responses=shows(LABEL, 201))
def add_label(form: LabelForm, identity: Operator, services: Shared) -> JSONResponse:
    """Say what a clip is. The next fit learns from it."""
    folder = visible_package(services, identity, form.customer, form.package)
    from alp_assets.stages.clips import read_clips

    try:
        known = form.clip_id in set(read_clips(folder)["clip_id"])
    except OSError:
        known = False
    if not known:
        raise Problem("not-found", f"{folder.customer}/{folder.package} has no clip {form.clip_id}.")
    label = services.models.label(
        folder.customer, folder.package, form.clip_id, form.label, form.note, identity.name
    )
    return JSONResponse(asdict(label), 201)
