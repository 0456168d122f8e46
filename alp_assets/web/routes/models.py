"""Model versions: listed, compared, promoted, archived."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alp_assets.registry.records import State, Version
from alp_assets.stages.models import read_threshold
from alp_assets.web import preview
from alp_assets.web.guard import Admin, Shared, Viewer, customer_for, visible_model, visible_section
from alp_assets.web.problems import Problem
from alp_assets.web.routes.answers import EVENT, MODEL, shows
from alp_assets.web.services import Services
from alp_assets.web.typed import Typed
from alp_assets.web.views import models as views

router = APIRouter(tags=["models"])

_MOST_COMPARED = 6


class Reason(BaseModel):
    """Why something is done, for the history."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"why": "fewer false alarms"}}
    )

    why: Typed = Field(default="", max_length=1_000)


class Description(BaseModel):
    """What a model is."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"description": "after the overhaul"}}
    )

    description: Typed = Field(max_length=1_000)


class SectionReason(Reason):
    """A section, and why something is done to it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"example": {"section": "acme/fan/00", "why": "too many alarms"}},
    )

    section: str = Field(min_length=1, max_length=500)


@router.get("/models", responses=shows({"models": [MODEL]}))
def list_models(
    identity: Viewer,
    services: Shared,
    customer: str | None = None,
    machine_type: str | None = None,
    section: str | None = None,
    engine: str | None = None,
    state: State | None = None,
) -> JSONResponse:
    """The models that one may see, champions first, then the newest: the form of ``registry.json`` and more."""
    whose, section_id = customer_for(identity, customer), None
    if section is not None:
        found = visible_section(identity, section)
        if whose not in (None, found.customer) or machine_type not in (None, found.machine_type):
            return JSONResponse({"models": []})
        whose, machine_type, section_id = found.customer, found.machine_type, found.section_id
    versions = services.models.find(
        customer=whose, machine_type=machine_type, section_id=section_id, engine=engine, state=state
    )
    return JSONResponse({"models": [shown(services, version) for version in versions]})


@router.get("/models/compare", responses=shows({"models": [MODEL], "rows": [], "distributions": []}))
def compare(
    identity: Viewer,
    services: Shared,
    model_id: Annotated[list[str], Query(min_length=2, max_length=_MOST_COMPARED)],
    bins: Annotated[int, Query(ge=5, le=200)] = 40,
) -> JSONResponse:
    """The figures of several models side by side, and how their calibration scores are spread."""
    versions = [visible_model(services, identity, name) for name in model_id]
    models = [shown(services, version) for version in versions]
    spread = [
        preview.distribution(version, fitted_threshold(version), services.models.threshold(version.version), bins)
        for version in versions
    ]
    return JSONResponse({"models": models, "rows": views.compared(models), "distributions": spread})


@router.get("/models/{model_id}", responses=shows(MODEL))
def show_model(model_id: str, identity: Viewer, services: Shared) -> JSONResponse:
    """Everything that is known of a model; its files are checked."""
    version = visible_model(services, identity, model_id)
    return JSONResponse(
        views.details(
            version,
            services.models.thresholds(version.version),
            services.models.history(version=version.version),
        )
    )


@router.patch("/models/{model_id}", responses=shows(MODEL))
def describe(model_id: str, form: Description, identity: Admin, services: Shared) -> JSONResponse:
    """Write what a model is."""
    version = visible_model(services, identity, model_id)
    changed = services.models.describe(version.version, form.description, identity.name)
    return JSONResponse(shown(services, changed))


@router.post("/models/{model_id}/promote", responses=shows(MODEL))
def promote(model_id: str, form: Reason, identity: Admin, services: Shared) -> JSONResponse:
    """Make a model the champion of its section."""
    version = visible_model(services, identity, model_id)
    return JSONResponse(shown(services, services.models.promote(version.version, identity.name, form.why)))


@router.post("/models/{model_id}/archive", responses=shows(MODEL))
def archive(model_id: str, form: Reason, identity: Admin, services: Shared) -> JSONResponse:
    """Take a model that is no champion out of use."""
    version = visible_model(services, identity, model_id)
    return JSONResponse(shown(services, services.models.archive(version.version, identity.name, form.why)))


@router.post("/models/{model_id}/pin", responses=shows(MODEL))
def pin(model_id: str, form: Reason, identity: Admin, services: Shared) -> JSONResponse:
    """Make a model the champion, and keep it so until the section is unpinned."""
    version = visible_model(services, identity, model_id)
    return JSONResponse(shown(services, services.models.pin(version.version, identity.name, form.why)))


@router.get(
    "/sections", responses=shows({"sections": [{"section": "acme/fan/00", "versions": 3, "champion": MODEL}]})
)
def list_sections(
    identity: Viewer, services: Shared, customer: str | None = None, machine_type: str | None = None
) -> JSONResponse:
    """The machines that have models."""
    by_section: dict[str, list[Version]] = {}
    for version in services.models.find(customer=customer_for(identity, customer), machine_type=machine_type):
        by_section.setdefault(str(version.section), []).append(version)
    return JSONResponse({"sections": [_section(services, by_section[name]) for name in sorted(by_section)]})


@router.post("/sections/rollback", responses=shows(MODEL))
def rollback(form: SectionReason, identity: Admin, services: Shared) -> JSONResponse:
    """Make the champion before the present one the champion of a section again."""
    section = visible_section(identity, form.section)
    return JSONResponse(shown(services, services.models.rollback(section, identity.name, form.why)))


@router.post("/sections/unpin", responses=shows(MODEL))
def unpin(form: SectionReason, identity: Admin, services: Shared) -> JSONResponse:
    """Let a section's champion be replaced again."""
    section = visible_section(identity, form.section)
    return JSONResponse(shown(services, services.models.unpin(section, identity.name, form.why)))


@router.get("/history", responses=shows({"events": [EVENT]}))
def history(
    identity: Viewer,
    services: Shared,
    section: str | None = None,
    model_id: str | None = None,
    customer: str | None = None,
    limit: Annotated[int, Query(ge=1, le=2_000)] = 200,
) -> JSONResponse:
    """Who decided what about models, newest first."""
    place = visible_section(identity, section) if section is not None else None
    version = visible_model(services, identity, model_id).version if model_id is not None else None
    whose = customer_for(identity, customer)
    events = services.models.history(place, version)
    if whose is not None and place is None and version is None:
        own = {item.version for item in services.models.find(customer=whose)}
        events = [event for event in events if event.version in own]
    return JSONResponse({"events": [views.event(item) for item in events[:limit]]})


def shown(services: Services, version: Version) -> dict[str, Any]:
    """A version as lists show it."""
    return views.model(version, services.models.thresholds(version.version))


def fitted_threshold(version: Version) -> dict[str, Any]:
    """A version's threshold as it was fitted; ``Problem`` where its file is gone or damaged."""
    try:
        threshold = read_threshold(version.folder)
        if not threshold["calibration"]:
            raise ValueError("no calibration scores")
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Problem(
            "model-corrupt",
            f"{version.name}: its threshold cannot be read. Run the models stage of package {version.package} "
            "again, or restore the model from DVC.",
        ) from error
    return threshold


def _section(services: Services, versions: list[Version]) -> dict[str, Any]:
    section = versions[0].section
    champion = next((item for item in versions if item.state is State.CHAMPION), None)
    return {
        "section": str(section),
        "customer": section.customer,
        "machine_type": section.machine_type,
        "section_id": section.section_id,
        "champion": shown(services, champion) if champion else None,
        "versions": len(versions),
        "pinned": champion.pinned if champion else False,
    }
