"""Thresholds of models: what they promise, and new ones in their place."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alp_assets.web import preview
from alp_assets.web.guard import Admin, Shared, Viewer, visible_model
from alp_assets.web.problems import Problem
from alp_assets.web.routes.answers import THRESHOLD, shows
from alp_assets.web.routes.models import fitted_threshold
from alp_assets.web.typed import Typed
from alp_assets.web.views import models as views

router = APIRouter(prefix="/models/{model_id}", tags=["thresholds"])

_MOST_LABELLED = 2_000
_FAR = 1e30
"""Beyond any score; what lies further off overflows where a slider's ends are computed."""


class ThresholdForm(BaseModel):
    """A threshold, and why it is set."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"value": 0.83, "note": "fewer alarms on night shifts"}},
    )

    value: float = Field(allow_inf_nan=False, ge=-_FAR, le=_FAR)
    note: Typed = Field(min_length=1, max_length=1_000)


@router.get("/calibration", responses=shows({"model_id": "9c1e0a7b44d2f310", "count": 12, "threshold": 0.83}))
def calibration(
    model_id: str, identity: Viewer, services: Shared, bins: Annotated[int, Query(ge=5, le=200)] = 40
) -> JSONResponse:
    """The calibration scores of a model, and the scores that it gave to labelled clips."""
    version = visible_model(services, identity, model_id)
    last = services.models.thresholds(version.version)[-1]
    found = preview.distribution(version, fitted_threshold(version), last.value, bins)
    labelled = services.labelled.of(version)
    shown = {
        "normal": list(labelled.normal[:_MOST_LABELLED]),
        "anomaly": list(labelled.anomaly[:_MOST_LABELLED]),
    }
    return JSONResponse({**found, "threshold_number": last.number, "labelled": shown})


@router.get("/threshold-preview", responses=shows({"value": 0.83, "rate": 0.077, "alarms_per_day": 1.2}))
def show_preview(model_id: str, value: float, identity: Viewer, services: Shared) -> JSONResponse:
    """What a threshold would come to if it were set."""
    if not math.isfinite(value):
        raise Problem("invalid", "query.value: give a finite number.")
    version = visible_model(services, identity, model_id)
    confidence = services.params.decision.confidence
    labelled = services.labelled.of(version)
    return JSONResponse(preview.preview(value, version, fitted_threshold(version), labelled, confidence))


@router.get("/thresholds", responses=shows({"thresholds": [THRESHOLD]}))
def list_thresholds(model_id: str, identity: Viewer, services: Shared) -> JSONResponse:
    """The thresholds that a model was given, newest first."""
    version = visible_model(services, identity, model_id)
    return JSONResponse({"thresholds": views.threshold_list(services.models.thresholds(version.version))})


@router.post("/thresholds", status_code=201, responses=shows(THRESHOLD, 201))
def set_threshold(model_id: str, form: ThresholdForm, identity: Admin, services: Shared) -> JSONResponse:
    """Give a model another threshold, in force at once."""
    version = visible_model(services, identity, model_id)
    saved = services.models.save_threshold(version.version, form.value, form.note, identity.name)
    return JSONResponse(views.threshold(saved, in_force=True), 201)
