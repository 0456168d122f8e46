"""What a client says of an upload: by the headers of tus 1.0.0 or in JSON."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alp_assets.web.problems import Problem

TUS = {"Tus-Resumable": "1.0.0"}


class UploadForm(BaseModel):
    """What is going to be sent."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "example": {"customer": "acme", "package": "first", "filename": "first.zip", "bytes": 12345}
        },
    )

    customer: str = Field(default="", max_length=100)
    package: str = Field(default="", max_length=100)
    filename: str = Field(default="", max_length=255)
    bytes: int


async def wanted_upload(request: Request) -> UploadForm:
    """What is going to be sent; ``Problem`` where that cannot be made out."""
    if "upload-length" not in request.headers:
        try:
            return UploadForm.model_validate(json.loads(await request.body() or b"{}"))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        except ValueError as error:
            raise Problem("invalid", f"body: this is no JSON ({error}).") from error
    refuse_other_tus(request)
    length = request.headers["upload-length"]
    if not (length.isascii() and length.isdecimal()) or len(length) > 18:
        raise Problem("invalid", "Upload-Length: give the size in bytes.", headers=TUS)
    try:
        return UploadForm(bytes=int(length), **_metadata(request.headers.get("upload-metadata", "")))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _metadata(text: str) -> dict[str, Any]:
    """The known entries of ``name base64, name base64``."""
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = entry.partition(" ")
        if name not in ("customer", "package", "filename"):
            continue
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Problem(
                "invalid", f"Upload-Metadata: {name} is no base64 of UTF-8 text.", headers=TUS
            ) from error
    return found


def refuse_other_tus(request: Request) -> None:
    """``Problem`` when a client speaks another version."""
    spoken = request.headers.get("tus-resumable", TUS["Tus-Resumable"])
    if spoken != TUS["Tus-Resumable"]:
        raise Problem("tus-version", f"tus {spoken} is not spoken here.", headers={**TUS, "Tus-Version": "1.0.0"})
