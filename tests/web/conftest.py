from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from alp_assets.params import with_overrides
from alp_assets.registry.registry import Registry
from alp_assets.web.app import make_app
from alp_assets.web.identity import Role
from alp_assets.web.keys import KeyStore
from tests.packages import FAST, machine_package, receive, run_through

QUICK = with_overrides(
    FAST,
    {
        "embeddings.encoder": "logmel",
        "models.engine": "memory_bank",
        "models.second_opinions": ["isolation_forest"],
        "sensitivity.enabled": False,
        "web.quick_workers": 1,
    },
)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory) -> Path:
    """A data root with a scored package of acme and one of its rival."""
    root = tmp_path_factory.mktemp("web") / "data"
    for number, (customer, package) in enumerate((("acme", "first"), ("rival", "theirs"))):
        archive = machine_package(root.parent / f"{customer}.zip", seed=number, normal=3, anomaly=3)
        folder = receive(root, archive, customer=customer, package=package)
        run_through(folder, until="scores", params=QUICK)
        folder.stage("report").mkdir()
        (folder.stage("report") / "report.html").write_text(f"<h1>Report for {customer}</h1>")
    return root


@pytest.fixture
def data_root(fitted, tmp_path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(fitted, tmp_path / "data"))


@pytest.fixture
def keys(data_root) -> dict[str, str]:
    """Keys by whose they are and what they may."""
    return make_keys(data_root)


def in_a_loop(coroutine):
    """What a coroutine comes to. In a thread, as the browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def make_keys(root: Path) -> dict[str, str]:
    store = KeyStore(root)
    wanted = {
        "viewer": (Role.VIEWER, "acme"),
        "operator": (Role.OPERATOR, "acme"),
        "admin": (Role.ADMIN, "acme"),
        "rival": (Role.ADMIN, "rival"),
        "all": (Role.ADMIN, "*"),
    }
    return {name: store.add(role, customer, name, None)[1] for name, (role, customer) in wanted.items()}


def server(root: Path, params, **options):
    """The server without its workers, which start when they are needed."""
    made = make_app(root, params, **options)
    made.state.services.scratch.mkdir(parents=True, exist_ok=True)
    return made


def caller(app, keys: dict[str, str]):
    """Calls the server with one of the keys: ``client("viewer").get("/models")``."""

    def signed_in(who: str | None = "admin") -> TestClient:
        headers = {"Authorization": f"Bearer {keys[who]}"} if who else {}
        return TestClient(app, base_url="http://alp.test/api/v1", headers=headers, raise_server_exceptions=False)

    return signed_in


@pytest.fixture
def params():
    return QUICK


@pytest.fixture
def app(data_root, params):
    made = server(data_root, params)
    yield made
    made.state.services.desk.close()


@pytest.fixture
def client(app, keys):
    return caller(app, keys)


@pytest.fixture
def model_id(data_root) -> str:
    """acme's champion."""
    return champion_of(data_root)


def champion_of(root: Path) -> str:
    (version,) = Registry(root).find(customer="acme")
    return version.version
