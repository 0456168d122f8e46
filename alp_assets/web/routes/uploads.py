"""Packages on their way in: whole, or in pieces that can be resumed (tus 1.0.0)."""

from __future__ import annotations

import asyncio
import shutil
import time
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from alp_assets.files import write_json
from alp_assets.stages.package import PackageFolder
from alp_assets.web.guard import Operator, Shared, Viewer, customer_for
from alp_assets.web.identity import Identity
from alp_assets.web.problems import API, Problem
from alp_assets.web.routes.answers import SENT, UPLOAD, form, shows
from alp_assets.web.services import Services
from alp_assets.web.tus import TUS, UploadForm, refuse_other_tus, wanted_upload
from alp_assets.web.uploads import Upload, package_name
from alp_assets.web.views import checks
from alp_assets.web.views.packages import link
from alp_assets.web.workers.checking import Check
from alp_assets.web.workers.desk import answered, unpacked
from alp_assets.web.workers.pool import WorkerLost, WorkerTimeout

router = APIRouter(tags=["uploads"])

_CHUNK = 1 << 20
_LONGEST_WAIT_S = 30.0
_POLL_S = 0.2
_MEND = "Pack the zip again, or run `alp check` on it where it was made."

_BINARY = {"type": "string", "format": "binary"}


class PublishForm(BaseModel):
    """Whether to send a package that would be refused."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"anyway": False}})

    anyway: bool = False


@router.options("/uploads", status_code=204)
def offers(services: Shared) -> Response:
    """What of tus there is."""
    return Response(
        status_code=204,
        headers={
            **TUS,
            "Tus-Version": "1.0.0",
            "Tus-Extension": "creation,expiration,termination",
            "Tus-Max-Size": str(services.params.web.package_bytes),
        },
    )


@router.post(
    "/uploads",
    status_code=201,
    responses=shows(UPLOAD, 201),
    openapi_extra=form("application/json", UploadForm.model_json_schema()),
)
async def begin(request: Request, identity: Operator, services: Shared) -> Response:
    """Begin an upload: by the headers of tus, or by a JSON body."""
    wanted = await wanted_upload(request)
    customer = _whose(identity, wanted.customer)
    package = wanted.package or package_name(wanted.filename)
    if not package:
        raise Problem("invalid", "Name the package: small letters, digits and hyphens.")
    upload = await run_in_threadpool(
        services.uploads.begin, customer, package, wanted.filename, wanted.bytes, identity.name
    )
    place = f"{API}/uploads/{upload.id}"
    return JSONResponse(_shown(services, upload), 201, {**_headers(services, upload), "Location": place})


@router.get("/uploads", responses=shows({"uploads": [UPLOAD]}))
def list_uploads(identity: Viewer, services: Shared, customer: str | None = None) -> JSONResponse:
    """The uploads that have not been sent yet."""
    found = services.uploads.of(customer_for(identity, customer))
    return JSONResponse({"uploads": [_shown(services, item) for item in found]})


@router.head("/uploads/{upload_id}", response_class=Response)
def offset(upload_id: str, identity: Viewer, services: Shared) -> Response:
    """How much of an upload has arrived."""
    upload = _visible(services, identity, upload_id)
    more = {"Upload-Length": str(upload.bytes), "Cache-Control": "no-store"}
    return Response(status_code=200, headers={**_headers(services, upload), **more})


@router.get("/uploads/{upload_id}", responses=shows(UPLOAD))
def show(upload_id: str, identity: Viewer, services: Shared) -> JSONResponse:
    """An upload and its check."""
    return JSONResponse(_shown(services, _visible(services, identity, upload_id)))


@router.patch(
    "/uploads/{upload_id}", status_code=204, openapi_extra=form("application/offset+octet-stream", _BINARY)
)
async def append(upload_id: str, request: Request, identity: Operator, services: Shared) -> Response:
    """The next bytes of an upload. What arrived before a connection broke is kept."""
    refuse_other_tus(request)
    upload = _visible(services, identity, upload_id)
    with services.uploads.alone(upload):
        here = services.uploads.offset(upload)
        told = request.headers.get("upload-offset", "")
        if told != str(here):
            raise Problem(
                "conflict",
                f"{here:,} bytes have arrived; Upload-Offset must say so, and says {told or 'nothing'}.",
                headers={**TUS, "Upload-Offset": str(here)},
            )
        try:
            await _received(request, services.uploads.data(upload), upload.bytes)
        except ClientDisconnect:
            return Response(status_code=499)
        if here != services.uploads.offset(upload):
            services.uploads.check_file(upload).unlink(missing_ok=True)
    return Response(status_code=204, headers=_headers(services, upload))


@router.delete("/uploads/{upload_id}", status_code=204)
def delete(upload_id: str, identity: Operator, services: Shared) -> Response:
    """Give an upload up."""
    upload = _visible(services, identity, upload_id)
    with services.uploads.alone(upload):
        services.uploads.delete(upload)
    return Response(status_code=204, headers=TUS)


Wait = Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S)]


@router.post("/uploads/{upload_id}/check", responses=shows({"state": "done", "verdict": "ok"}))
async def check(upload_id: str, identity: Operator, services: Shared, wait: Wait = 0) -> Response:
    """Check a complete upload before it is sent: its problems, and what would become of every machine."""
    upload = _visible(services, identity, upload_id)
    if not services.uploads.complete(upload):
        missing = upload.bytes - services.uploads.offset(upload)
        raise Problem("conflict", f"{missing:,} bytes are missing. Send them first.")
    with services.uploads.alone(upload):
        if (services.uploads.check(upload) or {"state": "failed"})["state"] == "failed":
            _start_check(services, upload)
    return await _checked(services, upload, wait)


@router.get("/uploads/{upload_id}/check", responses=shows({"state": "done", "verdict": "ok"}))
async def show_check(upload_id: str, identity: Viewer, services: Shared, wait: Wait = 0) -> Response:
    """The check of an upload, as far as it is."""
    upload = _visible(services, identity, upload_id)
    if services.uploads.check(upload) is None:
        raise Problem("not-found", "This upload has not been checked.")
    return await _checked(services, upload, wait)


@router.post("/uploads/{upload_id}/publish", status_code=201, responses=shows(SENT, 201))
def publish(upload_id: str, form: PublishForm, identity: Operator, services: Shared) -> JSONResponse:
    """Send a checked upload: its zip goes to the inbox, and Dagster takes it from there."""
    upload = _visible(services, identity, upload_id)
    with services.uploads.alone(upload):
        found = services.uploads.check(upload)
        if found is None or found["state"] != "done":
            raise Problem("check-first", "Check the upload first, and wait for the result.")
        if found["verdict"] == "refused" and not form.anyway:
            raise Problem("check-first", "The package would be refused as it is. Mend it and send it anew.")
        folder = services.uploads.publish(upload)
    return JSONResponse(_sent(folder), 201)


@router.post(
    "/packages",
    status_code=201,
    responses=shows(SENT, 201),
    openapi_extra=form("application/zip", _BINARY),
    tags=["packages"],
)
async def send_whole(
    request: Request, identity: Operator, services: Shared, package: str, customer: str = ""
) -> JSONResponse:
    """Send a package whole, as the body. The rules for archives are checked; the rest is its run's work."""
    size = request.headers.get("content-length")
    if size is None:
        raise Problem("length-needed", "Send the zip with its Content-Length, or resumably to /uploads.")
    wanted = (_whose(identity, customer), package, f"{package}.zip", int(size), identity.name)
    upload = await run_in_threadpool(services.uploads.begin, *wanted)
    try:
        with services.uploads.alone(upload):
            await _received(request, services.uploads.data(upload), upload.bytes)
            look = _check_of(services, upload, rules_alone=True)
            unpacked(await answered(services.desk.rules, look, _MEND))
            folder = await run_in_threadpool(services.uploads.publish, upload)
    finally:
        await run_in_threadpool(services.uploads.delete, upload)
    return JSONResponse(_sent(folder), 201)


def _whose(identity: Identity, customer: str) -> str:
    found = customer_for(identity, customer or None)
    if found is None:
        raise Problem("invalid", "Name the customer: this key is for all of them.")
    return found


def _visible(services: Services, identity: Identity, upload_id: str) -> Upload:
    upload = services.uploads.get(upload_id)
    if upload is None or not identity.sees(upload.customer):
        raise Problem("not-found", "There is no such upload; unfinished ones are deleted after a while.")
    return upload


async def _received(request: Request, path: Path, size: int) -> None:
    """Append a body to a file as it comes; ``Problem`` when it is more than was said."""
    pending = bytearray()
    with path.open("ab") as target:
        room = size - target.tell()
        try:
            async for piece in request.stream():
                if len(piece) > room:
                    raise Problem(
                        "too-large", f"There are more bytes than the {size:,} that were said.", headers=TUS
                    )
                room -= len(piece)
                pending += piece
                if len(pending) >= _CHUNK:
                    await run_in_threadpool(target.write, bytes(pending))
                    pending.clear()
        finally:
            target.write(pending)


def _start_check(services: Services, upload: Upload) -> None:
    look = _check_of(services, upload)
    write_json(look.told, checks.running())
    try:
        work = services.desk.checks.submit(look)
    except Problem:
        look.told.unlink()
        raise

    def ended(done: Any) -> None:
        shutil.rmtree(look.scratch, ignore_errors=True)
        if done.cancelled() or not look.told.parent.is_dir():
            return
        error = done.exception()
        if isinstance(error, WorkerTimeout):
            write_json(look.told, checks.failed("The check took too long. Ask who runs the server for more time."))
        elif isinstance(error, WorkerLost):
            write_json(look.told, checks.failed("The check ended unexpectedly. Check the zip with `alp check`."))

    work.add_done_callback(ended)


def _check_of(services: Services, upload: Upload, *, rules_alone: bool = False) -> Check:
    return Check(
        archive=services.uploads.data(upload),
        customer=upload.customer,
        package=upload.package,
        data_root=services.data_root,
        scratch=services.uploads.scratch(upload),
        told=services.uploads.check_file(upload),
        rules_alone=rules_alone,
    )


async def _checked(services: Services, upload: Upload, wait: float) -> Response:
    latest = time.monotonic() + wait
    while True:
        found = services.uploads.check(upload) or checks.running()
        if found["state"] != "running":
            return JSONResponse(found)
        if time.monotonic() >= latest:
            return JSONResponse(found, 202)
        await asyncio.sleep(_POLL_S)


def _shown(services: Services, upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "customer": upload.customer,
        "package": upload.package,
        "filename": upload.filename,
        "bytes": upload.bytes,
        "offset": services.uploads.offset(upload),
        "complete": services.uploads.complete(upload),
        "expires_at": upload.expires_at,
        "check": services.uploads.check(upload),
    }


def _headers(services: Services, upload: Upload) -> dict[str, str]:
    return {
        **TUS,
        "Upload-Offset": str(services.uploads.offset(upload)),
        "Upload-Expires": format_datetime(upload.expires, usegmt=True),
    }


def _sent(folder: PackageFolder) -> dict[str, Any]:
    return {
        "customer": folder.customer,
        "package": folder.package,
        "links": {"self": link(folder), "events": f"{link(folder)}/events"},
    }
