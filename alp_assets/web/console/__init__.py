"""The browser console: pages whose frame the server renders and whose data their scripts fetch over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alp_assets.web.console.pages import console_error, console_router
from alp_assets.web.console.static import STATIC_URL, static_files

if TYPE_CHECKING:
    from fastapi import FastAPI

    from alp_assets.web.services import Services


def add_console(app: FastAPI, services: Services) -> None:
    """Add the pages, their files and the page that tells of an error to an app that serves the API."""
    app.include_router(console_router(services))
    app.mount(STATIC_URL, static_files(), name="static")
    app.state.console_error = console_error
