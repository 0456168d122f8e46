"""One server on loopback over a small data root, and one headless browser, for all tests of the console."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alp_assets.params import with_overrides
from alp_assets.registry.registry import Registry
from alp_assets.report.browser import find_browser
from alp_assets.web.identity import Role
from alp_assets.web.keys import KeyStore
from tests.packages import FAST, audio, hum, machine_package, receive, run_through

PARAMS = with_overrides(
    FAST,
    {"sensitivity.enabled": False, "models.second_opinions": ["isolation_forest"], "web.quick_workers": 1},
)


WAIT_MS = 90_000
"""A check starts a process of its own, which takes long on a busy computer."""


@dataclass
class Served:
    """A running server: where it is, what it serves, and a key for every role."""

    url: str
    root: Path
    keys: dict[Role, str]

    @property
    def registry(self) -> Registry:
        return Registry(self.root)

    def new_key(self, role: Role) -> tuple[str, str]:
        """Id and text of another key."""
        key, text = KeyStore(self.root).add(role, "acme", "visitor", None)
        return key.id, text


@dataclass
class Watched:
    """What a page did that it must not: errors it logged, and requests to anywhere else."""

    origin: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if self._is_bad(message) else None)
        page.on("request", lambda request: self.foreign.append(request.url) if self._leaves(request.url) else None)

    def _is_bad(self, message: Any) -> bool:
        # the browser itself logs every answer of 4xx; those are told in the page
        return message.type == "error" and "Failed to load resource" not in message.text

    def _leaves(self, url: str) -> bool:
        return not url.startswith((self.origin + "/", "blob:" + self.origin, "data:"))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packages of one machine worked through, so that it has two versions."""
    data_root = tmp_path_factory.mktemp("console") / "data"
    for name, seed in (("first", 0), ("second", 5)):
        archive = machine_package(data_root.parent / f"{name}.zip", seed=seed)
        run_through(receive(data_root, archive, package=name), params=PARAMS)
    return data_root


@pytest.fixture(scope="session")
def served(root: Path) -> Iterator[Served]:
    """The real server in a thread."""
    import uvicorn

    from alp_assets.web.app import make_app

    keys = {role: KeyStore(root).add(role, "acme", role.value, None)[1] for role in Role}
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(make_app(root, PARAMS), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    assert server.started
    yield Served(url, root, keys)
    server.should_exit = True
    server.force_exit = True
    thread.join(20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium with a machine in front of its microphone."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    sync_api.expect.set_options(timeout=WAIT_MS)
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium, Chrome or Edge is installed; set ALP_BROWSER to test the console")
    heard = tmp_path_factory.mktemp("microphone") / "hum.wav"
    heard.write_bytes(audio(hum(78, seconds=20.0)))
    arguments = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}",
    ]
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(program), args=[*arguments, *sandbox])
        yield running
        running.close()


Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, served: Served) -> Iterator[Open]:
    """Opens pages of the console as somebody who is signed in; no page may fail or ask anybody else."""
    watched, contexts = Watched(served.url), []

    def opened(
        path: str = "/packages", *, key: str | Role | None = Role.ADMIN, locale: str = "en-US", **options: Any
    ) -> Any:
        context = browser.new_context(
            locale=locale, base_url=served.url, **{"viewport": {"width": 1200, "height": 900}, **options}
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        if key is not None:
            text = served.keys[key] if isinstance(key, Role) else key
            assert context.request.post("/api/v1/session", data={"key": text}).status == 201
        page = context.new_page()
        watched.watch(page)
        page.goto(path)
        page.locator("main:not([inert])").wait_for()  # what is put into a page that does not listen yet is lost
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not watched.errors
    assert not watched.foreign
